package sns

import (
	"errors"
	"net/http"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/topics"
)

func fault(code string, status int, message string) *awswire.Error {
	return &awswire.Error{Code: code, Status: status, Message: message}
}

// invalid is InvalidParameter; what is the parameter, or what SNS says of it.
func invalid(what string) *awswire.Error {
	return fault("InvalidParameter", http.StatusBadRequest, "Invalid parameter: "+what)
}

func notFound(message string) *awswire.Error {
	return fault("NotFound", http.StatusNotFound, message)
}

func noTopic() *awswire.Error { return notFound("Topic does not exist") }

// missing is what AWS's own framework says of a required parameter that is not
// there, by its name in the service model.
func missing(name string) *awswire.Error {
	return fault("ValidationError", http.StatusBadRequest,
		"1 validation error detected: Value null at '"+name+"' failed to satisfy constraint: Member must not be null")
}

// wordFor is what an error of topics is in SNS's words; parameter is the one
// the caller gave wrong if it was invalid.
func wordFor(err error, parameter string) error {
	var field *topics.FieldError
	switch {
	case errors.As(err, &field):
		return invalid(parameter + " Reason: " + field.Reason)
	case errors.Is(err, topics.ErrNotFound):
		return noTopic()
	}
	return err
}
