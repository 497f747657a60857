package awswire_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
)

func TestIs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method, url, kind, target string
		want                      bool
	}{
		"json":                   {http.MethodPost, "/", "application/x-amz-json-1.0", "AmazonSQS.SendMessage", true},
		"json by a wrong method": {http.MethodPut, "/", "", "AmazonSQS.SendMessage", true},
		"form":                   {http.MethodPost, "/", "application/x-www-form-urlencoded", "", true},
		"form with a charset":    {http.MethodPost, "/1/q", "application/x-www-form-urlencoded; charset=UTF-8", "", true},
		"query":                  {http.MethodGet, "/?Action=ListQueues", "", "", true},
		"post with a query":      {http.MethodPost, "/?Action=ListQueues", "", "", true},
		"page":                   {http.MethodGet, "/", "", "", false},
		"a queue's page":         {http.MethodGet, "/000000000000/work", "", "", true},
		"an account's page":      {http.MethodGet, "/000000000000/", "", "", false},
		"another page":           {http.MethodGet, "/v1/queues", "", "", false},
		"plain json":             {http.MethodPost, "/", "application/json", "", false},
		"bad type":               {http.MethodPost, "/", "application/;;", "", false},
		"delete":                 {http.MethodDelete, "/?Action=x", "", "", false},
	} {
		r := httptest.NewRequest(c.method, c.url, nil)
		r.Header.Set("Content-Type", c.kind)
		r.Header.Set("X-Amz-Target", c.target)
		require.Equal(t, c.want, awswire.Is(r), name)
	}
}

func TestBothProtocolsReadTheSame(t *testing.T) {
	t.Parallel()
	asJSON := do(t, open(), jsonCall("AmazonSQS.Echo", `{"QueueUrl":"u","MessageBody":"<a>&\u00e9","DelaySeconds":0,"Raw":true,
		"AttributeNames":["All","x"],"Tags":[{"Key":"a","Value":"b"}],"Flat":{"k":"v"},"Nested":{"m":"n"},
		"MessageAttributes":{"one":{"DataType":"String","StringValue":"s"},"two":{"DataType":"Binary","BinaryValue":"AAEC","BinaryListValues":["AA==","AQ=="]}},
		"More":{"DataType":"Number"},"Unknown":[{}]}`))
	require.Equal(t, http.StatusOK, asJSON.status, asJSON.text)
	require.Equal(t, "application/x-amz-json-1.0", asJSON.header.Get("Content-Type"))
	require.JSONEq(t, `{"QueueUrl":"u","MessageBody":"<a>&é","DelaySeconds":0,"Raw":true,
		"AttributeNames":["All","x"],"Tags":[{"Key":"a","Value":"b"}],"Flat":{"k":"v"},"Nested":{"m":"n"},
		"MessageAttributes":{"one":{"DataType":"String","StringValue":"s"},"two":{"DataType":"Binary","BinaryValue":"AAEC","BinaryListValues":["AA==","AQ=="]}},
		"More":{"DataType":"Number"},"Who":"000000000000 us-east-1  "}`, asJSON.text)

	asForm := do(t, open(), form("Action=Echo&Version=2012-11-05&QueueUrl=u&MessageBody=%3Ca%3E%26%C3%A9&DelaySeconds=0&Raw=true"+
		"&AttributeName.1=All&AttributeName.2=x&Tags.member.1.Key=a&Tags.member.1.Value=b&Attribute.1.Name=k&Attribute.1.Value=v"+
		"&Attributes.entry.1.key=m&Attributes.entry.1.value=n&MessageAttribute.1.Name=one&MessageAttribute.1.Value.DataType=String"+
		"&MessageAttribute.1.Value.StringValue=s&MessageAttribute.2.Name=two&MessageAttribute.2.Value.DataType=Binary"+
		"&MessageAttribute.2.Value.BinaryValue=AAEC&MessageAttribute.2.Value.BinaryListValue.1=AA%3D%3D"+
		"&MessageAttribute.2.Value.BinaryListValue.2=AQ%3D%3D&More.DataType=Number&Unknown.1=x"))
	require.Equal(t, http.StatusOK, asForm.status, asForm.text)
	require.Equal(t, "text/xml", asForm.header.Get("Content-Type"))
	id := asForm.header.Get("X-Amzn-RequestId")
	require.Regexp(t, `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, id)
	require.Equal(t, `<?xml version="1.0"?><EchoResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/"><EchoResult>`+
		`<QueueUrl>u</QueueUrl><MessageBody>&lt;a&gt;&amp;é</MessageBody><DelaySeconds>0</DelaySeconds><Raw>true</Raw>`+
		`<AttributeName>All</AttributeName><AttributeName>x</AttributeName><Tags><member><Key>a</Key><Value>b</Value></member></Tags>`+
		`<Attribute><Name>k</Name><Value>v</Value></Attribute><Attributes><entry><key>m</key><value>n</value></entry></Attributes>`+
		`<MessageAttribute><Name>one</Name><Value><DataType>String</DataType><StringValue>s</StringValue></Value></MessageAttribute>`+
		`<MessageAttribute><Name>two</Name><Value><DataType>Binary</DataType><BinaryValue>AAEC</BinaryValue>`+
		`<BinaryListValue>AA==</BinaryListValue><BinaryListValue>AQ==</BinaryListValue></Value></MessageAttribute>`+
		`<More><DataType>Number</DataType></More><Who>000000000000 us-east-1  </Who></EchoResult>`+
		`<ResponseMetadata><RequestId>`+id+`</RequestId></ResponseMetadata></EchoResponse>`, asForm.text)
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	const (
		cannot  = "com.amazon.coral.service#SerializationException"
		unknown = "com.amazon.coral.service#UnknownOperationException"
	)
	many := strings.Builder{}
	for n := range 1001 {
		many.WriteString("&AttributeName." + strconv.Itoa(n+1) + "=x")
	}
	retyped := func(r *http.Request, kind string) *http.Request {
		r.Header.Set("Content-Type", kind)
		return r
	}
	byMethod := jsonCall("AmazonSQS.Echo", "{}")
	byMethod.Method = http.MethodPut
	for name, c := range map[string]struct {
		r      *http.Request
		status int
		code   string
		says   string
	}{
		"unknown action, json":       {jsonCall("AmazonSQS.Fly", "{}"), 400, unknown, "Fly"},
		"unknown service, json":      {jsonCall("DynamoDB_20120810.GetItem", "{}"), 400, unknown, "GetItem"},
		"no action, json":            {jsonCall("AmazonSQS", "{}"), 400, unknown, "no action"},
		"another service's action":   {jsonCall("AmazonSQS.CreateTopic", "{}"), 400, unknown, "CreateTopic"},
		"unknown action, form":       {form("Action=Fly&Version=2012-11-05"), 400, "InvalidAction", "Fly"},
		"no action, form":            {form("Version=2012-11-05"), 400, "MissingAction", "no action"},
		"nothing":                    {form(""), 400, "MissingAction", "no action"},
		"no form":                    {form("Action=Echo&%zz"), 404, "MalformedQueryString", "name=value"},
		"semicolons":                 {form("Action=Echo;x=1"), 404, "MalformedQueryString", "name=value"},
		"bad query string":           {httptest.NewRequest(http.MethodGet, "/?Action=Echo&%zz", nil), 404, "MalformedQueryString", "name=value"},
		"form of another type":       {retyped(httptest.NewRequest(http.MethodPost, "/?Action=Echo", strings.NewReader("{}")), "application/json"), 404, "MalformedQueryString", "x-www-form-urlencoded"},
		"json of another type":       {retyped(jsonCall("AmazonSQS.Echo", "{}"), "text/plain"), 400, unknown, "x-amz-json-1.0"},
		"json by another method":     {byMethod, 405, unknown, "POST"},
		"broken json":                {jsonCall("AmazonSQS.Echo", `{"QueueUrl":`), 400, cannot, "not a JSON object"},
		"a list":                     {jsonCall("AmazonSQS.Echo", `[]`), 400, cannot, "not a JSON object"},
		"a number for a text":        {jsonCall("AmazonSQS.Echo", `{"QueueUrl":1}`), 400, cannot, "QueueUrl must not be a JSON number"},
		"a fraction for a number":    {jsonCall("AmazonSQS.Echo", `{"DelaySeconds":1.5}`), 400, cannot, "DelaySeconds"},
		"bad base64, json":           {jsonCall("AmazonSQS.Echo", `{"More":{"BinaryValue":"!"}}`), 400, cannot, "More.BinaryValue is not what its type asks for"},
		"a name given twice":         {jsonCall("AmazonSQS.Echo", `{"QueueUrl":"a","QueueUrl":"b"}`), 400, cannot, "QueueUrl is given twice"},
		"not UTF-8, json":            {jsonCall("AmazonSQS.Echo", "{\"MessageBody\":\"\xff\"}"), 400, cannot, "UTF-8"},
		"half a pair":                {jsonCall("AmazonSQS.Echo", `{"MessageBody":"a\ud83d b"}`), 400, cannot, "not a JSON object"},
		"the other half":             {jsonCall("AmazonSQS.Echo", `{"MessageBody":"\\\ude00"}`), 400, cannot, "not a JSON object"},
		"two first halves":           {jsonCall("AmazonSQS.Echo", `{"MessageBody":"\ud83d\ud83d\ude00"}`), 400, cannot, "not a JSON object"},
		"an escape cut off":          {jsonCall("AmazonSQS.Echo", `{"MessageBody":"\`), 400, cannot, "not a JSON object"},
		"deep json":                  {jsonCall("AmazonSQS.Echo", strings.Repeat(`{"x":`, 1<<18)), 400, cannot, "not a JSON object"},
		"large json":                 {jsonCall("AmazonSQS.Echo", strings.Repeat(" ", 4<<20+1)), 413, "com.amazon.coral.service#RequestEntityTooLargeException", "4194304"},
		"large form":                 {form("Action=Echo&MessageBody=" + strings.Repeat("x", 4<<20)), 413, "RequestEntityTooLarge", "4194304"},
		"not UTF-8, form":            {form("Action=Echo&MessageBody=%FF"), 400, "MalformedInput", "UTF-8"},
		"no number":                  {form("Action=Echo&DelaySeconds=soon"), 400, "InvalidParameterValue", "DelaySeconds is invalid: it must be a whole number"},
		"too large a number":         {form("Action=Echo&DelaySeconds=99999999999999999999"), 400, "InvalidParameterValue", "DelaySeconds"},
		"no boolean":                 {form("Action=Echo&Raw=maybe"), 400, "InvalidParameterValue", "Raw is invalid: it must be true or false"},
		"bad base64, form":           {form("Action=Echo&More.BinaryValue=!"), 400, "InvalidParameterValue", "More.BinaryValue is invalid: it must be base64"},
		"an index of 0":              {form("Action=Echo&AttributeName.0=a"), 400, "MalformedInput", "AttributeName.0 has no valid index: entries are AttributeName.1, AttributeName.2 and so on"},
		"an index with a zero":       {form("Action=Echo&AttributeName.01=a"), 400, "MalformedInput", "AttributeName.01 has no valid index"},
		"an index that is none":      {form("Action=Echo&AttributeName.x=a"), 400, "MalformedInput", "AttributeName.x has no valid index"},
		"a large index":              {form("Action=Echo&Attribute.99999999999999999999.Name=a"), 400, "MalformedInput", "has no valid index"},
		"a negative index":           {form("Action=Echo&Tags.member.-1.Key=a"), 400, "MalformedInput", "Tags.member.-1.Key has no valid index"},
		"a map's index":              {form("Action=Echo&Attributes.entry.x.key=a"), 400, "MalformedInput", "Attributes.entry.x.key has no valid index"},
		"a map's entry, no index":    {form("Action=Echo&Attributes.entry.key=a"), 400, "MalformedInput", "Attributes.entry.key has no valid index"},
		"a lone entry without name":  {form("Action=Echo&Attribute.Value=v"), 400, "MalformedInput", "Attribute.Name is missing"},
		"a map's entry without name": {form("Action=Echo&Attribute.1.Value=v"), 400, "MalformedInput", "Attribute.1.Name is missing"},
		"a long list":                {form("Action=Echo" + many.String()), 400, "MalformedInput", "AttributeName has more than 1000 entries"},
		"too many fields":            {form("Action=Echo" + strings.Repeat("&x=", 1<<17)), 404, "MalformedQueryString", "name=value"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := do(t, open(), c.r)
			require.Equal(t, c.status, a.status, a.text)
			require.Equal(t, c.code, a.code)
			require.Contains(t, a.message, c.says)
			require.NotEmpty(t, a.header.Get("X-Amzn-RequestId"))
		})
	}
}

func TestEscapesInJSON(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{`\ud83d\ude00\u00e9`: "😀é", `\\ud83d`: `\\ud83d`, `\n\"\u0000`: `\n\"\u0000`, `\uD83D\uDE00`: "😀"} {
		a := do(t, open(), jsonCall("AmazonSQS.Echo", `{"MessageBody":"`+text+`"}`))
		require.Equal(t, http.StatusOK, a.status, a.text)
		require.Contains(t, a.text, `"MessageBody":"`+want+`"`)
	}
}

func TestBodyLargerThanAnnounced(t *testing.T) {
	t.Parallel()
	r := form("Action=Echo&MessageBody=" + strings.Repeat("x", 4<<20))
	r.ContentLength = -1 // chunked
	require.Equal(t, http.StatusRequestEntityTooLarge, do(t, open(), r).status)
}

func TestFormsAsAWSReadsThem(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"&AttributeName.2=b&AttributeName.10=c":                          `<AttributeName>b</AttributeName><AttributeName>c</AttributeName>`, // gaps are no end, numbers no text
		"&AttributeName=":                                                ``,                                                                 // how SDKs write an empty list
		"&AttributeName=All":                                             `<AttributeName>All</AttributeName>`,
		"&Attribute.Name=a&Attribute.Value=b":                            `<Attribute><Name>a</Name><Value>b</Value></Attribute>`,
		"&Tags.1=a&Tags=b&Other.x.y=c":                                   ``, // not of a list's entries
		"&MessageBody=first&MessageBody=second":                          `<MessageBody>first</MessageBody>`,
		"&Attribute.7.Name=a&Attribute.7.Value=b":                        `<Attribute><Name>a</Name><Value>b</Value></Attribute>`,
		"&Attribute.1.Name=a&Attribute.2.Name=a&Attribute.2.Value=later": `<Attribute><Name>a</Name><Value>later</Value></Attribute>`,
		"&Tags.member.3.Value=b":                                         `<Tags><member><Key></Key><Value>b</Value></member></Tags>`,
	} {
		a := do(t, open(), form("Action=Echo&Version=2012-11-05"+body))
		require.Equal(t, http.StatusOK, a.status, a.text)
		require.Contains(t, a.text, "<EchoResult>"+want+"<Who>", body)
	}
	get := do(t, open(), httptest.NewRequest(http.MethodGet, "/?Action=Echo&MessageBody=in+the%20URL", nil))
	require.Contains(t, get.text, "<MessageBody>in the URL</MessageBody>")
	both := form("MessageBody=body")
	both.URL.RawQuery = "Action=Echo&MessageBody=query"
	require.Contains(t, do(t, open(), both).text, "<MessageBody>body</MessageBody>")
}

// TestErrorsAreInTheServicesManner: even those from before the service was known.
func TestErrorsAreInTheServicesManner(t *testing.T) {
	t.Parallel()
	sqs, sns := "http://queue.amazonaws.com/doc/2012-11-05/", "http://sns.amazonaws.com/doc/2010-03-31/"
	signed := form("Action=Fly")
	signed.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=x/20150830/eu-west-1/sns/aws4_request")
	for want, r := range map[string]*http.Request{
		"sqs by version":   form("Action=Fly&Version=2012-11-05"),
		"sns by version":   form("Action=Fly&Version=2010-03-31"),
		"sns by signature": signed,
		"sqs as the first": form("Action=Fly"),
	} {
		namespace := map[string]string{"sqs": sqs, "sns": sns}[want[:3]]
		require.Contains(t, do(t, open(), r).text, `<ErrorResponse xmlns="`+namespace+`"><Error><Type>Sender</Type>`, want)
	}
	none := awswire.New(awswire.Options{Verifier: awswire.Verifier{Open: true}})
	require.Equal(t, "InvalidAction", do(t, none, form("Action=Fly")).code)
	require.Equal(t, "InvalidAction;Sender", do(t, none, jsonCall("AmazonSQS.Fly", "")).header.Get("X-Amzn-Query-Error"))
}

func TestActionsErrors(t *testing.T) {
	t.Parallel()
	refuse := func(err error) http.Handler {
		return awswire.New(awswire.Options{Verifier: awswire.Verifier{Open: true}, Services: []awswire.Service{{
			Name: "sqs", Target: "AmazonSQS", Version: "2012-11-05", ErrorType: "com.amazonaws.sqs#",
			Actions: map[string]awswire.Action{"Do": func(context.Context, *awswire.Request) (any, error) { return nil, err }},
		}}})
	}
	missing := fmt.Errorf("looking: %w", &awswire.Error{Code: "AWS.SimpleQueueService.NonExistentQueue", JSONCode: "QueueDoesNotExist", Status: 400, Message: "No <queue>."})
	a := do(t, refuse(missing), jsonCall("AmazonSQS.Do", ""))
	require.Equal(t, http.StatusBadRequest, a.status)
	require.JSONEq(t, `{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"No <queue>."}`, a.text)
	require.Equal(t, "AWS.SimpleQueueService.NonExistentQueue;Sender", a.header.Get("X-Amzn-Query-Error"))
	a = do(t, refuse(missing), form("Action=Do"))
	require.Equal(t, "AWS.SimpleQueueService.NonExistentQueue", a.code)
	require.Equal(t, "No <queue>.", a.message)

	a = do(t, refuse(errors.New("disk on fire")), form("Action=Do"))
	require.Equal(t, http.StatusInternalServerError, a.status)
	require.Contains(t, a.text, "<Type>Receiver</Type><Code>InternalFailure</Code>")
	require.NotContains(t, a.text, "fire")

	a = do(t, refuse(nil), form("Action=Do"))
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, a.text, `<DoResponse xmlns=""><ResponseMetadata>`)
	a = do(t, refuse(nil), jsonCall("AmazonSQS.Do", ""))
	require.Equal(t, http.StatusOK, a.status)
	require.Empty(t, a.text)
}
