package sandbox

import "net/http"

// lambdaErrors are the errors of Invoke with their HTTP statuses, then those
// common to all AWS services. The first with a status is what the status alone
// stands for.
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors
var lambdaErrors = []struct {
	code   string
	status int
}{
	{"AccessDeniedException", 403},
	{"ResourceNotFoundException", 404},
	{"TooManyRequestsException", 429},
	{"RequestTooLargeException", 413},
	{"InvalidRequestContentException", 400},
	{"InvalidParameterValueException", 400},
	{"UnsupportedMediaTypeException", 415},
	{"RecursiveInvocationException", 400},
	{"ModeNotSupportedException", 400},
	{"NoPublishedVersionException", 400},
	{"ResourceConflictException", 409},
	{"ServiceException", 500},
	{"CodeArtifactUserDeletedException", 409},
	{"CodeArtifactUserFailedException", 409},
	{"CodeArtifactUserPendingException", 409},
	{"EC2AccessDeniedException", 502},
	{"EC2ThrottledException", 502},
	{"EC2UnexpectedException", 502},
	{"EFSIOException", 410},
	{"EFSMountConnectivityException", 408},
	{"EFSMountFailureException", 403},
	{"EFSMountTimeoutException", 408},
	{"ENILimitReachedException", 502},
	{"ENINotReadyException", 502},
	{"InvalidRuntimeException", 502},
	{"InvalidSecurityGroupIDException", 502},
	{"InvalidSubnetIDException", 502},
	{"InvalidZipFileException", 502},
	{"KMSAccessDeniedException", 502},
	{"KMSDisabledException", 502},
	{"KMSInvalidStateException", 502},
	{"KMSNotFoundException", 502},
	{"ResourceNotReadyException", 502},
	{"S3FilesMountConnectivityException", 408},
	{"S3FilesMountFailureException", 403},
	{"S3FilesMountTimeoutException", 408},
	{"SerializedRequestEntityTooLargeException", 413},
	{"SnapStartException", 400},
	{"SnapStartNotReadyException", 409},
	{"SnapStartTimeoutException", 408},
	{"SubnetIPAddressLimitReachedException", 502},

	{awsUnknownClient, 403},
	{awsBadSignature, 403},
	{awsNoSignature, 403},
	{awsBadForm, 400},
	{"ExpiredTokenException", 403},
	{"OptInRequired", 403},
	{"ThrottlingException", 400},
	{"ServiceUnavailable", 503},
}

// lambdaError is the status and code a scripted answer stands for: a code alone
// implies its status, a status alone the first code that has it.
func lambdaError(a Answer) (status int, code string) {
	for _, e := range lambdaErrors {
		if a.Code == e.code || (a.Code == "" && a.Status == e.status) {
			status, code = e.status, e.code
			break
		}
	}
	if a.Code != "" {
		code = a.Code
	}
	if code == "" {
		code = "ServiceException"
	}
	if a.Status >= http.StatusMultipleChoices {
		status = a.Status
	}
	if status == 0 {
		status = http.StatusBadRequest
	}
	return status, code
}
