package sandbox

import (
	"net/http"
	"slices"
	"strconv"
)

// sqsError is a refusal by SQS: the name of the JSON protocol, the HTTP status
// and the code of the older query protocol, which goes along in a header.
type sqsError struct {
	name, query string
	status      int
	message     string
}

// awsErrors are the errors common to all AWS services. The first with a status
// is what the status alone stands for.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
var awsErrors = []sqsError{
	{"InvalidParameterValueException", "InvalidParameterValue", 400, "A value of a parameter is not valid."},
	{"AccessDeniedException", "AccessDenied", 403, "Access to the resource is denied."},
	{"ThrottlingException", "ThrottlingException", 400, "Rate exceeded."},
	{"InternalFailure", "InternalFailure", 500, "The request cannot be processed now because of an internal error."},
	{"ServiceUnavailable", "ServiceUnavailable", 503, "The service is not available."},
	{"RequestEntityTooLargeException", "RequestEntityTooLargeException", 413, "The request entity is too large."},
	{awsUnknownClient, "InvalidClientTokenId", 403, "The security token included in the request is invalid."},
	{awsBadSignature, "SignatureDoesNotMatch", 403, "The request signature we calculated does not match the signature you provided."},
	{awsNoSignature, "MissingAuthenticationToken", 403, "Request is missing Authentication Token."},
	{awsBadForm, "IncompleteSignature", 400, "The request signature does not conform to AWS standards."},
	{"ExpiredTokenException", "ExpiredToken", 403, "The security token included in the request is expired."},
	{"OptInRequired", "OptInRequired", 403, "The access key ID needs a subscription for the service."},
	{"RequestExpired", "RequestExpired", 400, "The request is too old or too far in the future."},
	{"MissingRequiredParameterException", "MissingParameter", 400, "The request must contain the parameter."},
	{"UnknownOperationException", "UnknownOperationException", 404, "The operation is not known."},
}

// sqsErrors are the errors of SQS itself, by its service model.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html#API_SendMessage_Errors
var sqsErrors = []sqsError{
	{"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", 400, "The specified queue does not exist."},
	{"InvalidAddress", "InvalidAddress", 404, "The specified queue URL is not valid."},
	{"InvalidMessageContents", "InvalidMessageContents", 400, "Invalid characters were found in the message body."},
	{"InvalidSecurity", "InvalidSecurity", 403, "The request was not made over HTTPS or did not use SigV4 for signing."},
	{"RequestThrottled", "RequestThrottled", 403, "Request is throttled."},
	{"OverLimit", "OverLimit", 403, "The specified action violates a limit."},
	{"UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation", 400, "Unsupported operation."},
	{"BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", 400, "Two or more batch entries in the request have the same Id."},
	{"BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong", 400, "Batch requests cannot be longer than 1048576 bytes."},
	{"EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest", 400, "There should be at least one SendMessageBatchRequestEntry in the request."},
	{"InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId", 400, "A batch entry id can only contain alphanumeric characters, hyphens and underscores."},
	{"TooManyEntriesInBatchRequest", "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", 400, "Maximum number of entries per request are 10."},
	{"KmsAccessDenied", "KMS.AccessDeniedException", 400, "The caller doesn't have the required KMS access."},
	{"KmsDisabled", "KMS.DisabledException", 400, "The key is disabled."},
	{"KmsInvalidKeyUsage", "KMS.InvalidKeyUsageException", 400, "The key usage is incompatible."},
	{"KmsInvalidState", "KMS.InvalidStateException", 400, "The state of the key is not valid for this request."},
	{"KmsNotFound", "KMS.NotFoundException", 400, "The specified key could not be found."},
	{"KmsOptInRequired", "KMS.OptInRequired", 403, "The KMS key needs a subscription for the service."},
	{"KmsThrottled", "KMS.ThrottlingException", 400, "The request was denied due to request throttling."},
}

// sqsErrorFor is the error a code (by either protocol's name) or, without one,
// a status stands for.
func sqsErrorFor(code string, status int) sqsError {
	e := sqsError{name: code, query: code, status: http.StatusBadRequest, message: "Scripted error."}
	for _, known := range slices.Concat(awsErrors, sqsErrors) {
		if code == known.name || code == known.query || (code == "" && status == known.status) {
			e = known
			break
		}
	}
	if e.name == "" {
		e.name, e.query = "InternalFailure", "InternalFailure"
	}
	if status >= http.StatusMultipleChoices {
		e.status = status
	}
	return e
}

// scriptedSQS is the error a scripted answer stands for.
func scriptedSQS(a Answer) sqsError {
	e := sqsErrorFor(a.Code, a.Status)
	if a.Message != "" && a.Message != EachEntry {
		e.message = a.Message
	}
	return e
}

// refuse answers with the error, as the AWS JSON 1.0 protocol with the query
// compatible header has it.
func (e sqsError) refuse(w http.ResponseWriter, retryAfter int) {
	namespace, fault := "com.amazon.coral.service#", "Sender"
	if slices.ContainsFunc(sqsErrors, func(own sqsError) bool { return own.name == e.name }) {
		namespace = "com.amazonaws.sqs#"
	}
	if e.status >= http.StatusInternalServerError {
		fault = "Receiver"
	}
	w.Header().Set("X-Amzn-Query-Error", e.query+";"+fault)
	if retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	writeAWSJSON(w, e.status, map[string]string{"__type": namespace + e.name, "message": e.message})
}
