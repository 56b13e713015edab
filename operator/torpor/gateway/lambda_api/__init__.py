"""AWS Lambda's API for calling functions, so that `boto3.client("lambda")` can call a Function."""
