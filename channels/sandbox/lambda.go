package sandbox

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strconv"
)

// The most a payload may have. https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const (
	maxLambdaSync  = 6 << 20
	maxLambdaAsync = 1 << 20
)

// lambdaName is a function's name, partial or full ARN, with a version or alias.
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
var lambdaName = regexp.MustCompile(`^((arn:aws[a-z-]*:lambda:[a-z0-9-]+:)?\d{12}:function:)?[A-Za-z0-9_-]{1,64}(:[A-Za-z0-9_$.-]{1,128})?$`)

// Lambda is the Invoke action of the Lambda API. A recipient is a function as
// it was named in the request: name or ARN, with or without an alias. Every
// function exists. The answer {Status: 200, Code: "Unhandled"} (or "Handled")
// is a function that ran and failed, which an asynchronous invocation does not
// learn. GetAccountSettings takes its answers from the recipient
// "GetAccountSettings".
type Lambda struct {
	// URL is the endpoint, Region the one requests must be signed for.
	URL, Region string
	// AccessKeyID and SecretAccessKey are the credentials that are taken.
	AccessKeyID, SecretAccessKey string

	core  *core
	close func() error
}

func startLambda(c *core) (*Lambda, error) {
	l, err := c.kept.listen("lambda")
	if err != nil {
		return nil, err
	}
	f := &Lambda{
		URL: "http://" + l.Addr().String(), Region: awsRegion,
		AccessKeyID: awsAccessKey, SecretAccessKey: awsSecretKey, core: c,
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2015-03-31/functions/{name}/invocations", f.invoke)
	mux.HandleFunc("GET /2016-08-19/account-settings", f.settings)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuseLambda(w, Answer{Status: http.StatusNotFound, Code: "UnknownOperationException"})
	})
	f.close = serveHTTP(l, mux)
	return f, nil
}

// Close ends the listener.
func (f *Lambda) Close() error { return f.close() }

func (f *Lambda) settings(w http.ResponseWriter, r *http.Request) {
	if code := verifySigV4(r, nil, "lambda"); code != "" {
		refuseLambda(w, Answer{Code: code})
		return
	}
	a := f.core.next(ProviderLambda, "GetAccountSettings")
	a.wait(r.Context())
	switch {
	case a.Hang || a.Drop != "":
		abort()
	case a.refuses():
		refuseLambda(w, a)
	default:
		writeJSON(w, http.StatusOK, map[string]any{"AccountLimit": map[string]int{"ConcurrentExecutions": 1000}})
	}
}

func (f *Lambda) invoke(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2*maxLambdaSync))
	it := lambdaItem(r, body)
	w.Header().Set("X-Amzn-Requestid", it.ID)
	var tooLarge *http.MaxBytesError
	if err != nil && !errors.As(err, &tooLarge) {
		abort()
	}
	if code := checkLambda(r, body, err != nil); code != "" {
		f.refuse(w, it, Answer{Code: code})
		return
	}
	a := f.core.next(ProviderLambda, it.Recipient)
	a.wait(r.Context())
	sync := it.Fields["invocation_type"] == "RequestResponse"
	failed := a.Code == "Unhandled" || a.Code == "Handled"
	switch {
	case a.Hang || a.Drop == DropBefore:
		f.core.record(it)
		abort()
	case a.refuses() && !failed:
		f.refuse(w, it, a)
		return
	case it.Fields["invocation_type"] == "DryRun":
		w.WriteHeader(http.StatusNoContent)
		return
	}
	it.Accepted, it.Status = !(failed && sync), http.StatusAccepted
	if sync {
		it.Status = http.StatusOK
		if failed {
			it.Code = a.Code
		}
	}
	f.core.record(it)
	if a.Drop == DropAfter {
		abort()
	}
	answerLambda(w, it, a.Message)
}

// answerLambda answers an invocation that was taken; an item with a code is a
// function that failed.
func answerLambda(w http.ResponseWriter, it Item, message string) {
	if it.Status == http.StatusAccepted {
		w.WriteHeader(it.Status)
		return
	}
	w.Header().Set("X-Amz-Executed-Version", "$LATEST")
	if it.Code == "" {
		writeJSON(w, it.Status, nil)
		return
	}
	if message == "" {
		message = "the function failed"
	}
	w.Header().Set("X-Amz-Function-Error", it.Code)
	writeJSON(w, it.Status, map[string]string{"errorMessage": message, "errorType": "Error"})
}

// refuse notes and answers an invocation that was not taken.
func (f *Lambda) refuse(w http.ResponseWriter, it Item, a Answer) {
	it.Status, it.Code = lambdaError(a)
	f.core.record(it)
	refuseLambda(w, a)
}

func lambdaItem(r *http.Request, body []byte) Item {
	kind := r.Header.Get("X-Amz-Invocation-Type")
	if kind == "" {
		kind = "RequestResponse"
	}
	it := Item{
		Provider: ProviderLambda, Recipient: r.PathValue("name"), ID: awsRequestID(), Body: string(body),
		Fields: map[string]string{"invocation_type": kind},
	}
	if q := r.URL.Query().Get("Qualifier"); q != "" {
		it.Fields["qualifier"] = q
	}
	var event struct {
		Records []struct {
			Sns struct {
				MessageID  string `json:"MessageId"`
				Subject    string
				Attributes map[string]struct{ Value string } `json:"MessageAttributes"`
			}
		}
	}
	if json.Unmarshal(body, &event) == nil && len(event.Records) > 0 {
		sns := event.Records[0].Sns
		it.Subject, it.Delivery = sns.Subject, sns.Attributes[deliveryAttribute].Value
		if it.Delivery == "" {
			it.Delivery = sns.MessageID
		}
	}
	return it
}

// checkLambda is what Lambda would find wrong with an invocation: a code, or "".
func checkLambda(r *http.Request, body []byte, cut bool) string {
	if code := verifySigV4(r, body, "lambda"); code != "" && !cut {
		return code
	}
	limit := maxLambdaSync
	switch r.Header.Get("X-Amz-Invocation-Type") {
	case "", "RequestResponse", "DryRun":
	case "Event":
		limit = maxLambdaAsync
	default:
		return "InvalidParameterValueException"
	}
	switch {
	case cut || len(body) > limit:
		return "RequestTooLargeException"
	case !lambdaName.MatchString(r.PathValue("name")):
		return "InvalidParameterValueException"
	case len(body) > 0 && !json.Valid(body):
		return "InvalidRequestContentException"
	}
	switch r.Header.Get("Content-Type") {
	case "", "application/json", "application/octet-stream": // the SDKs send the last
		return ""
	}
	return "UnsupportedMediaTypeException"
}

// refuseLambda answers with an error as the REST JSON protocol has it.
func refuseLambda(w http.ResponseWriter, a Answer) {
	status, code := lambdaError(a)
	message, kind := a.Message, "User"
	if message == "" {
		message = "refused: " + code
	}
	if status >= http.StatusInternalServerError {
		kind = "Service"
	}
	if a.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(a.RetryAfter))
	}
	body := map[string]string{"Type": kind, "Message": message, "message": message}
	if code == "TooManyRequestsException" {
		body["Reason"] = "ReservedFunctionConcurrentInvocationLimitExceeded"
	}
	w.Header().Set("X-Amzn-Errortype", code)
	writeJSON(w, status, body)
}
