"""SQS over queues: AWS's JSON protocol of the service, as boto3 speaks it."""
