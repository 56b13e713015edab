/** The environment that code written for AWS Lambda reads while it is loaded. */
'use strict';

const REGION = 'us-east-1';

/** The account of every ARN here, as in the ARNs of Workflows. */
const ACCOUNT = '000000000000';

/** Fill in what Lambda sets; what the user has set stays. */
function setEnvironment(environment) {
  const name = (environment.TORPOR_FUNCTION ?? '').split('/')[1] ?? '';
  const region = environment.AWS_REGION || environment.AWS_DEFAULT_REGION || REGION;
  const found = {
    AWS_LAMBDA_FUNCTION_NAME: name,
    AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
    AWS_LAMBDA_LOG_GROUP_NAME: `/aws/lambda/${name}`,
    AWS_LAMBDA_LOG_STREAM_NAME: environment.HOSTNAME || name,
    AWS_EXECUTION_ENV: `AWS_Lambda_nodejs${process.versions.node.split('.')[0]}.x`,
    AWS_REGION: region,
    AWS_DEFAULT_REGION: region,
    LAMBDA_TASK_ROOT: environment.TORPOR_CODE_DIR || require('./load').CODE_DIRECTORY,
    LAMBDA_RUNTIME_DIR: __dirname,
    _HANDLER: environment.TORPOR_HANDLER ?? '',
    TZ: 'UTC',
  };
  for (const [key, value] of Object.entries(found)) environment[key] ??= value;
}

module.exports = { ACCOUNT, setEnvironment };
