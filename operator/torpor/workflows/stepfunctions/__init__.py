"""The execution API: AWS Step Functions' own protocol, so that its clients work unchanged."""
