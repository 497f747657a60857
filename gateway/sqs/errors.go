package sqs

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/queue"
)

// simple is the prefix of most error codes in the Query protocol.
const simple = "AWS.SimpleQueueService."

// coral is the prefix of the types of errors that are not SQS's own in JSON.
const coral = "com.amazon.coral.service#"

// refuse is an error whose code is the same in both protocols.
func refuse(status int, code, format string, args ...any) *awswire.Error {
	return &awswire.Error{Code: code, Status: status, Message: fmt.Sprintf(format, args...)}
}

// refuseSimple is an error whose code has the prefix in the Query protocol.
func refuseSimple(status int, code, format string, args ...any) *awswire.Error {
	e := refuse(status, simple+code, format, args...)
	e.JSONCode = code
	return e
}

// invalid is InvalidParameterValue.
func invalid(format string, args ...any) *awswire.Error {
	e := refuse(http.StatusBadRequest, "InvalidParameterValue", format, args...)
	e.JSONCode = coral + "InvalidParameterValueException"
	return e
}

// invalidValue is InvalidParameterValue of one parameter.
func invalidValue(parameter string, value any, reason string) *awswire.Error {
	return invalid("Value %v for parameter %s is invalid. Reason: %s", value, parameter, reason)
}

// notOfType is what a parameter of the other kind of queue gets.
func notOfType(parameter string, value any) *awswire.Error {
	return invalidValue(parameter, value, "The request include parameter that is not valid for this queue type.")
}

func missing(parameter string) *awswire.Error {
	e := refuse(http.StatusBadRequest, "MissingParameter", "The request must contain the parameter %s.", parameter)
	e.JSONCode = coral + "MissingRequiredParameterException"
	return e
}

func unknownAttribute(name string) *awswire.Error {
	return refuse(http.StatusBadRequest, "InvalidAttributeName", "Unknown Attribute %s.", name)
}

func invalidAttribute(name, reason string) *awswire.Error {
	message := "Invalid value for the parameter " + name + "."
	if reason != "" {
		message += " Reason: " + reason
	}
	return refuse(http.StatusBadRequest, "InvalidAttributeValue", "%s", message)
}

// noQueue is QueueDoesNotExist; the protocols word it differently.
func noQueue(r *awswire.Request) *awswire.Error {
	message := "The specified queue does not exist."
	if r.Protocol == awswire.Query {
		message = "The specified queue does not exist for this wsdl version."
	}
	return &awswire.Error{Code: simple + "NonExistentQueue", JSONCode: "QueueDoesNotExist", Status: http.StatusBadRequest, Message: message}
}

func badHandle(format string, args ...any) *awswire.Error {
	return refuse(http.StatusNotFound, "ReceiptHandleIsInvalid", format, args...)
}

// unavailable is what a client tries again after.
func unavailable(after time.Duration) *awswire.Error {
	return &awswire.Error{Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable, Message: "The service cannot take the request now; try it again.", RetryAfter: after}
}

// inWords says what the engine said in AWS's words.
func inWords(r *awswire.Request, err error) error {
	var done *awswire.Error
	switch {
	case err == nil || errors.As(err, &done):
		return err
	case errors.Is(err, queue.ErrNotFound):
		return noQueue(r)
	case errors.Is(err, queue.ErrInvalidHandle):
		return badHandle("The input receipt handle is invalid.")
	case errors.Is(err, queue.ErrDiskFull):
		full := unavailable(10 * time.Second)
		full.Message = "The gateway's disk is nearly full: who runs it can free space, or lower what must stay free (store.min_free, store.max_used)."
		return full
	case errors.Is(err, queue.ErrClosed), errors.Is(err, queue.ErrStoreFailed):
		return unavailable(time.Second)
	}
	return err
}
