package awswire_test

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
)

const (
	keyID  = "AKIDEXAMPLE"
	secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

// message is an input and output with every shape there is.
type message struct {
	QueueURL   string               `json:"QueueUrl,omitempty"`
	Body       string               `json:"MessageBody,omitempty"`
	Delay      *int                 `json:"DelaySeconds,omitempty"`
	Raw        bool                 `json:"Raw,omitempty"`
	Names      []string             `json:"AttributeNames,omitempty" query:"AttributeName"`
	Tags       []tag                `json:"Tags,omitempty" query:"Tags.member"`
	Flat       map[string]string    `json:"Flat,omitempty" query:"Attribute,Name,Value"`
	Nested     map[string]string    `json:"Nested,omitempty" query:"Attributes.entry,key,value"`
	Attributes map[string]attribute `json:"MessageAttributes,omitempty" query:"MessageAttribute,Name,Value"`
	More       *attribute           `json:"More,omitempty"`
	Who        string               `json:"Who,omitempty"`
}

type tag struct {
	Key   string `json:"Key"`
	Value string `json:"Value"`
}

type attribute struct {
	Type   string   `json:"DataType"`
	Text   *string  `json:"StringValue,omitempty"`
	Binary []byte   `json:"BinaryValue,omitempty"`
	List   [][]byte `json:"BinaryListValues,omitempty" query:"BinaryListValue"`
}

// echo answers with its input and who sent it.
func echo(_ context.Context, r *awswire.Request, in *message) (*message, error) {
	in.Who = strings.Join([]string{r.Account, r.Region, r.AccessKey, r.Service}, " ")
	return in, nil
}

// sendMessage answers as SQS does.
func sendMessage(context.Context, *awswire.Request, *message) (*struct {
	ID  string `json:"MessageId"`
	MD5 string `json:"MD5OfMessageBody"`
}, error,
) {
	return &struct {
		ID  string `json:"MessageId"`
		MD5 string `json:"MD5OfMessageBody"`
	}{"0195d3f0-0000-8000-8000-000000000000", "5d41402abc4b2a76b9719d911017c592"}, nil
}

func handler(v awswire.Verifier) *awswire.Handler {
	v.Account, v.Region = "000000000000", "us-east-1"
	actions := func(own string) map[string]awswire.Action {
		return map[string]awswire.Action{"Echo": awswire.Do(echo), "SendMessage": awswire.Do(sendMessage), own: awswire.Do(echo)}
	}
	return awswire.New(awswire.Options{Verifier: v, Services: []awswire.Service{
		{Name: "sqs", Target: "AmazonSQS", Version: "2012-11-05", Namespace: "http://queue.amazonaws.com/doc/2012-11-05/", ErrorType: "com.amazonaws.sqs#", Detail: true, Actions: actions("CreateQueue")},
		{Name: "sns", Version: "2010-03-31", Namespace: "http://sns.amazonaws.com/doc/2010-03-31/", Actions: actions("CreateTopic")},
	}})
}

func open() *awswire.Handler { return handler(awswire.Verifier{Open: true}) }

func locked() *awswire.Handler {
	return handler(awswire.Verifier{Secret: func(id string) (string, string, bool) {
		return secret, "123456789012", id == keyID
	}})
}

func form(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	return r
}

func jsonCall(target, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", target)
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	return r
}

// answer is a response, read.
type answer struct {
	status int
	header http.Header
	text   string
	// of an error
	code, message string
}

func do(t testing.TB, h http.Handler, r *http.Request) answer {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return read(t, w.Result())
}

func read(t testing.TB, resp *http.Response) answer {
	t.Helper()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	a := answer{status: resp.StatusCode, header: resp.Header, text: string(text)}
	if resp.StatusCode == http.StatusOK {
		return a
	}
	if resp.Header.Get("Content-Type") == "text/xml" {
		var e struct {
			Code    string `xml:"Error>Code"`
			Message string `xml:"Error>Message"`
		}
		require.NoError(t, xml.Unmarshal(text, &e), a.text)
		a.code, a.message = e.Code, e.Message
		return a
	}
	var e struct{ Type, Message string }
	require.NoError(t, json.Unmarshal([]byte(strings.Replace(a.text, "__type", "type", 1)), &e), a.text)
	a.code, a.message = e.Type, e.Message
	return a
}
