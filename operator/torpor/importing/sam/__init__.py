"""Templates of AWS SAM and CloudFormation as Functions, Workflows and Triggers."""
