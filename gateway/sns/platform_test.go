package sns_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/sns"
)

const (
	appARN    = "arn:aws:sns:us-east-1:000000000000:app/APNS/my-app"
	noAppARN  = "arn:aws:sns:us-east-1:000000000000:app/APNS/none"
	noDevice  = "arn:aws:sns:us-east-1:000000000000:endpoint/APNS/my-app/0199e0a0-0000-8000-8000-000000000001"
	otherARN  = "arn:aws:sns:us-east-1:111122223333:app/APNS/my-app"
	appAbsent = "PlatformApplication does not exist"
)

var signing = map[string]string{"PlatformCredential": "key", "PlatformPrincipal": "id"}

func (b *bench) tryApp(platform, name string, attributes map[string]string) error {
	b.t.Helper()
	_, err := b.CreatePlatformApplication(b.t.Context(), &awssns.CreatePlatformApplicationInput{Name: &name, Platform: &platform, Attributes: attributes})
	return err
}

func (b *bench) tryDevice(token, data string, attributes map[string]string) (string, error) {
	b.t.Helper()
	in := &awssns.CreatePlatformEndpointInput{PlatformApplicationArn: aws.String(appARN), Token: &token, Attributes: attributes}
	if data != "" {
		in.CustomUserData = &data
	}
	out, err := b.CreatePlatformEndpoint(b.t.Context(), in)
	if err != nil {
		return "", err
	}
	return *out.EndpointArn, nil
}

func (b *bench) device(token, data string, attributes map[string]string) string {
	b.t.Helper()
	arn, err := b.tryDevice(token, data, attributes)
	require.NoError(b.t, err)
	return arn
}

func (b *bench) setDevice(arn string, attributes map[string]string) error {
	b.t.Helper()
	_, err := b.SetEndpointAttributes(b.t.Context(), &awssns.SetEndpointAttributesInput{EndpointArn: &arn, Attributes: attributes})
	return err
}

func (b *bench) deviceAttributes(arn string) map[string]string {
	b.t.Helper()
	out, err := b.GetEndpointAttributes(b.t.Context(), &awssns.GetEndpointAttributesInput{EndpointArn: &arn})
	require.NoError(b.t, err)
	return out.Attributes
}

// invalidly checks an InvalidParameter's words.
func invalidly(t *testing.T, err error, words string) {
	t.Helper()
	refused(t, err, "InvalidParameter", http.StatusBadRequest, "Invalid parameter: "+words)
}

func TestPlatformApplicationsRefuseBadInput(t *testing.T) {
	t.Parallel()
	b := start(t)
	made, err := b.CreateTopic(t.Context(), &awssns.CreateTopicInput{Name: aws.String("a.fifo"), Attributes: map[string]string{"FifoTopic": "true"}})
	require.NoError(t, err)
	fifo := *made.TopicArn
	for name, words := range map[string]string{
		"":                       " Reason: cannot be empty",
		strings.Repeat("n", 257): strings.Repeat("n", 257) + " Reason: must be at most 256 characters long",
		"a/b":                    "a/b Reason: must contain only characters 'a'-'z', 'A'-'Z', '0'-'9', '_', '-', and '.'",
	} {
		invalidly(t, b.tryApp("APNS", name, signing), words)
	}
	invalidly(t, b.tryApp("ADM", "my-app", signing), "Platform Reason: ADM is not supported")
	for words, attributes := range map[string]map[string]string{
		"PlatformCredential attribute provided without PlatformPrincipal":                                          {"PlatformCredential": "key"},
		"PlatformPrincipal attribute provided without PlatformCredential":                                          {"PlatformPrincipal": "id"},
		"PlatformCredential attribute is required":                                                                 {"Enabled": "true"},
		"Platform credentials are invalid: must not be bad":                                                        {"PlatformCredential": "bad", "PlatformPrincipal": "id"},
		"Invalid attribute name: Colour":                                                                           {"Colour": "red"},
		"Invalid value for attribute: Enabled: must be true or false":                                              {"Enabled": "perhaps"},
		"Invalid value for attribute: SuccessFeedbackSampleRate: must be a number from 0 to 100":                   {"SuccessFeedbackSampleRate": "101"},
		"Invalid value for attribute: EventEndpointCreated: must be the ARN of a topic of this account and region": {"EventEndpointCreated": otherARN},
		"Invalid value for attribute: EventEndpointUpdated: Topic does not exist":                                  {"EventEndpointUpdated": "arn:aws:sns:us-east-1:000000000000:none"},
		"Invalid value for attribute: EventDeliveryFailure: must not be a FIFO topic":                              {"EventDeliveryFailure": fifo},
	} {
		invalidly(t, b.tryApp("APNS", "my-app", attributes), "Attributes Reason: "+words)
	}
	status, answer := b.raw(url.Values{"Action": {"CreatePlatformApplication"}, "Name": {"my-app"}, "Platform": {"APNS"}})
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, answer, "Value null at &#39;attributes&#39; failed to satisfy constraint")
	list, err := b.ListPlatformApplications(t.Context(), &awssns.ListPlatformApplicationsInput{})
	require.NoError(t, err)
	require.Empty(t, list.PlatformApplications)

	require.NoError(t, b.tryApp("APNS", "my-app", signing))
	set := func(arn string, attributes map[string]string) error {
		_, err := b.SetPlatformApplicationAttributes(t.Context(), &awssns.SetPlatformApplicationAttributesInput{PlatformApplicationArn: &arn, Attributes: attributes})
		return err
	}
	get := func(arn string) (map[string]string, error) {
		out, err := b.GetPlatformApplicationAttributes(t.Context(), &awssns.GetPlatformApplicationAttributesInput{PlatformApplicationArn: &arn})
		if err != nil {
			return nil, err
		}
		return out.Attributes, nil
	}
	invalidly(t, set(appARN, map[string]string{"PlatformPrincipal": ""}), "Attributes Reason: PlatformCredential attribute provided without PlatformPrincipal")
	refused(t, set(noAppARN, signing), "NotFound", http.StatusNotFound, appAbsent)
	_, err = get(noAppARN)
	refused(t, err, "NotFound", http.StatusNotFound, appAbsent)
	_, err = get("a-fake-arn")
	invalidly(t, err, "PlatformApplicationArn Reason: An ARN must have at least 6 elements, not 1")
	_, err = get("arn:aws:sns:us-east-1:000000000000:my-app")
	invalidly(t, err, "PlatformApplicationArn Reason: Wrong number of slashes in relative portion of the ARN.")
	for _, name := range []string{"", "a b", strings.Repeat("n", 257)} {
		_, err = b.DeletePlatformApplication(t.Context(), &awssns.DeletePlatformApplicationInput{PlatformApplicationArn: aws.String("arn:aws:sns:us-east-1:000000000000:app/APNS/" + name)})
		invalidly(t, err, "PlatformApplicationArn")
	}
	_, err = get(strings.Replace(appARN, "us-east-1", "eu-west-1", 1))
	invalidly(t, err, "PlatformApplicationArn")
	_, err = get(otherARN)
	require.ErrorContains(t, err, "AuthorizationError")
	for _, next := range []string{"!", "YQ"} {
		_, err = b.ListPlatformApplications(t.Context(), &awssns.ListPlatformApplicationsInput{NextToken: &next})
		invalidly(t, err, "NextToken")
	}

	// What is refused changes nothing, what is given is added to the rest.
	told := b.topic("told")
	require.NoError(t, set(appARN, map[string]string{"EventEndpointCreated": told, "SuccessFeedbackSampleRate": "50", "ApplePlatformTeamID": "TEAM"}))
	require.NoError(t, b.tryApp("APNS", "my-app", signing), "it is there, and stays")
	require.Error(t, set(appARN, map[string]string{"ApplePlatformTeamID": "OTHER", "Colour": "red"}))
	got, err := get(appARN)
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"Enabled": "true", "AuthenticationMethod": "Token", "ApplePlatformTeamID": "TEAM", "EventEndpointCreated": told, "SuccessFeedbackSampleRate": "50",
	}, got)
	require.NoError(t, set(appARN, map[string]string{"EventEndpointCreated": ""}))
	got, err = get(appARN)
	require.NoError(t, err)
	require.NotContains(t, got, "EventEndpointCreated")
	for range 2 {
		_, err = b.DeletePlatformApplication(t.Context(), &awssns.DeletePlatformApplicationInput{PlatformApplicationArn: aws.String(appARN)})
		require.NoError(t, err, "also when it is gone")
	}
	_, err = get(appARN)
	refused(t, err, "NotFound", http.StatusNotFound, appAbsent)
}

func TestPlatformEndpointsRefuseBadInput(t *testing.T) {
	t.Parallel()
	b := start(t)
	token := strings.Repeat("ab", 32)
	_, err := b.tryDevice(token, "", nil)
	refused(t, err, "NotFound", http.StatusNotFound, appAbsent)
	require.NoError(t, b.tryApp("APNS", "my-app", signing))

	const apple = "iOS device tokens must be no more than 400 hexadecimal characters"
	const large = "must be at most 2048 bytes long in UTF-8 encoding"
	for bad, words := range map[string]string{"": "cannot be empty", "xyz": apple, strings.Repeat("a", 401): apple} {
		_, err = b.tryDevice(bad, "", nil)
		invalidly(t, err, "Token Reason: "+words)
	}
	_, err = b.tryDevice(token, strings.Repeat("é", 1025), nil)
	invalidly(t, err, "CustomUserData Reason: "+large)
	attributes := map[string]map[string]string{
		"Invalid attribute name: Colour":                              {"Colour": "red"},
		"Invalid value for attribute: Enabled: must be true or false": {"Enabled": "perhaps"},
		"Invalid value for attribute: CustomUserData: " + large:       {"CustomUserData": strings.Repeat("a", 2049)},
		"Invalid value for attribute: Token: " + apple:                {"Token": "xyz"},
	}
	device := b.device(token, "", nil)
	for words, bad := range attributes {
		_, err = b.tryDevice(strings.Repeat("cd", 32), "", bad)
		invalidly(t, err, "Attributes Reason: "+words)
		invalidly(t, b.setDevice(device, bad), "Attributes Reason: "+words)
	}
	status, answer := b.raw(url.Values{"Action": {"SetEndpointAttributes"}, "EndpointArn": {device}})
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, answer, "ValidationError")
	refused(t, b.setDevice(noDevice, map[string]string{"Enabled": "true"}), "NotFound", http.StatusNotFound, "Endpoint does not exist")
	_, err = b.GetEndpointAttributes(t.Context(), &awssns.GetEndpointAttributesInput{EndpointArn: aws.String(noDevice)})
	refused(t, err, "NotFound", http.StatusNotFound, "Endpoint does not exist")
	_, err = b.GetEndpointAttributes(t.Context(), &awssns.GetEndpointAttributesInput{EndpointArn: aws.String(appARN)})
	invalidly(t, err, "EndpointArn Reason: Wrong number of slashes in relative portion of the ARN.")
	_, err = b.DeleteEndpoint(t.Context(), &awssns.DeleteEndpointInput{EndpointArn: aws.String("x")})
	invalidly(t, err, "EndpointArn Reason: An ARN must have at least 6 elements, not 1")
	_, err = b.DeleteEndpoint(t.Context(), &awssns.DeleteEndpointInput{EndpointArn: aws.String(noDevice)})
	require.NoError(t, err)
	_, err = b.ListEndpointsByPlatformApplication(t.Context(), &awssns.ListEndpointsByPlatformApplicationInput{PlatformApplicationArn: aws.String(noAppARN)})
	refused(t, err, "NotFound", http.StatusNotFound, appAbsent)

	topic := b.topic("alerts")
	_, err = b.trySubscribe(topic, "application", noDevice, nil)
	invalidly(t, err, "Endpoint Reason: Endpoint does not exist for endpoint arn"+noDevice)
	for _, bad := range []string{appARN, strings.Replace(device, "us-east-1", "eu-west-1", 1)} {
		_, err = b.trySubscribe(topic, "application", bad, nil)
		invalidly(t, err, "Application endpoint arn invalid:"+bad)
	}
	for _, target := range []string{noDevice, "arn:aws:sns:us-east-1:000000000000:x:endpoint/y"} {
		_, err = b.Publish(t.Context(), &awssns.PublishInput{TargetArn: &target, Message: aws.String("hi")})
		invalidly(t, err, "TargetArn Reason: No endpoint found for the target arn specified")
	}
}

// TestPlatformEndpointsAreUnique: one token is one endpoint of an application,
// whoever asks how often.
func TestPlatformEndpointsAreUnique(t *testing.T) {
	t.Parallel()
	b := start(t)
	require.NoError(t, b.tryApp("APNS", "my-app", signing))
	token := strings.Repeat("AB", 32)
	device := b.device(token, "", nil)
	require.Equal(t, map[string]string{"Token": strings.ToLower(token), "Enabled": "true"}, b.deviceAttributes(device))
	require.Equal(t, device, b.device(strings.ToLower(token), "", map[string]string{"Enabled": "true"}))
	exists := "Token Reason: Endpoint " + device + " already exists with the same Token, but different attributes."
	_, err := b.tryDevice(token, "data", nil)
	invalidly(t, err, exists)
	_, err = b.tryDevice(token, "", map[string]string{"Enabled": "false"})
	invalidly(t, err, exists)

	two := strings.Repeat("cd", 32)
	other := b.device(two, "mine", map[string]string{"CustomUserData": "goes before", "Enabled": "false"})
	require.Equal(t, map[string]string{"Token": two, "Enabled": "false", "CustomUserData": "goes before"}, b.deviceAttributes(other))
	invalidly(t, b.setDevice(other, map[string]string{"Token": token}), exists)
	three := strings.Repeat("ef", 32)
	require.NoError(t, b.setDevice(other, map[string]string{"Token": three, "Enabled": "TRUE"}))
	require.Equal(t, map[string]string{"Token": three, "Enabled": "true", "CustomUserData": "goes before"}, b.deviceAttributes(other))
	require.NotEqual(t, other, b.device(two, "", nil), "its old token is free")
	for range 2 {
		_, err = b.DeleteEndpoint(t.Context(), &awssns.DeleteEndpointInput{EndpointArn: &device})
		require.NoError(t, err, "also when it is gone")
	}
	require.NotEqual(t, device, b.device(token, "data", nil))
}

// TestEndpointsMadeAtOnce: of those who register one token at the same moment each
// gets the same endpoint, and none gets one of an application deleted meanwhile.
func TestEndpointsMadeAtOnce(t *testing.T) {
	t.Parallel()
	b := start(t)
	require.NoError(t, b.tryApp("APNS", "my-app", signing))
	got := make([]string, 8)
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() { got[i], _ = b.tryDevice(strings.Repeat("ab", 32), "", nil) })
	}
	all.Wait()
	require.NotEmpty(t, got[0])
	require.Len(t, slices.Compact(got), 1)

	for i := range got {
		all.Go(func() { _, _ = b.tryDevice(fmt.Sprintf("%064x", i), "", nil) })
	}
	all.Go(func() {
		_, _ = b.DeletePlatformApplication(t.Context(), &awssns.DeletePlatformApplicationInput{PlatformApplicationArn: aws.String(appARN)})
	})
	all.Wait()
	require.NoError(t, b.tryApp("APNS", "my-app", signing))
	out, err := b.ListEndpointsByPlatformApplication(t.Context(), &awssns.ListEndpointsByPlatformApplicationInput{PlatformApplicationArn: aws.String(appARN)})
	require.NoError(t, err)
	require.Empty(t, out.Endpoints)
}

func TestPlatformListsArePaged(t *testing.T) {
	t.Parallel()
	b := start(t)
	for i := range 101 {
		require.NoError(t, b.tryApp("GCM", fmt.Sprintf("app-%03d", i), map[string]string{"PlatformCredential": "key"}))
	}
	apps, err := b.ListPlatformApplications(t.Context(), &awssns.ListPlatformApplicationsInput{})
	require.NoError(t, err)
	require.Len(t, apps.PlatformApplications, 100)
	require.Equal(t, map[string]string{"Enabled": "true", "AuthenticationMethod": "Token"}, apps.PlatformApplications[0].Attributes)
	apps, err = b.ListPlatformApplications(t.Context(), &awssns.ListPlatformApplicationsInput{NextToken: apps.NextToken})
	require.NoError(t, err)
	require.Len(t, apps.PlatformApplications, 1)
	require.Nil(t, apps.NextToken)
	last := apps.PlatformApplications[0].PlatformApplicationArn
	require.Equal(t, "arn:aws:sns:us-east-1:000000000000:app/GCM/app-100", *last)

	for i := range 101 {
		token := fmt.Sprintf("token-%03d", i)
		_, err := b.CreatePlatformEndpoint(t.Context(), &awssns.CreatePlatformEndpointInput{PlatformApplicationArn: last, Token: &token})
		require.NoError(t, err)
	}
	in := &awssns.ListEndpointsByPlatformApplicationInput{PlatformApplicationArn: last}
	page, err := b.ListEndpointsByPlatformApplication(t.Context(), in)
	require.NoError(t, err)
	require.Len(t, page.Endpoints, 100)
	require.Equal(t, map[string]string{"Token": "token-000", "Enabled": "true"}, page.Endpoints[0].Attributes)
	in.NextToken = page.NextToken
	page, err = b.ListEndpointsByPlatformApplication(t.Context(), in)
	require.NoError(t, err)
	require.Len(t, page.Endpoints, 1)
	require.Nil(t, page.NextToken)
	require.Equal(t, "token-100", page.Endpoints[0].Attributes["Token"])
	in.NextToken = aws.String("YQ")
	_, err = b.ListEndpointsByPlatformApplication(t.Context(), in)
	invalidly(t, err, "NextToken")
}

// TestDisabledIsRefused: what cannot arrive is not accepted.
func TestDisabledIsRefused(t *testing.T) {
	t.Parallel()
	b := start(t)
	require.NoError(t, b.tryApp("APNS", "my-app", signing))
	device := b.device(strings.Repeat("ab", 32), "", map[string]string{"Enabled": "false"})
	push := func() error {
		_, err := b.Publish(t.Context(), &awssns.PublishInput{TargetArn: &device, Message: aws.String("no JSON"), MessageStructure: aws.String("json")})
		return err
	}
	refused(t, push(), "EndpointDisabled", http.StatusBadRequest, "Endpoint is disabled")
	require.NoError(t, b.setDevice(device, map[string]string{"Enabled": "true"}))
	require.ErrorContains(t, push(), "failed to parse")
	enable := func(on string) {
		t.Helper()
		_, err := b.SetPlatformApplicationAttributes(t.Context(), &awssns.SetPlatformApplicationAttributesInput{
			PlatformApplicationArn: aws.String(appARN), Attributes: map[string]string{"Enabled": on},
		})
		require.NoError(t, err)
	}
	enable("false")
	refused(t, push(), "PlatformApplicationDisabled", http.StatusBadRequest, "Platform application is disabled")
	enable("true")
	b.say(&awssns.PublishInput{TargetArn: &device, Message: aws.String("hi")})
	require.Equal(t, strings.Repeat("ab", 32), b.sent["application"].next(t).Endpoint)
}

// TestEventsOfEventsEnd: an event that cannot be pushed to the very endpoint it
// tells of makes no further one.
func TestEventsOfEventsEnd(t *testing.T) {
	t.Parallel()
	b := start(t)
	told := b.topic("told")
	b.queue("heard")
	b.subscribe(told, "sqs", "arn:aws:sqs:us-east-1:000000000000:heard", nil)
	require.NoError(t, b.tryApp("APNS", "my-app", map[string]string{"PlatformCredential": "key", "PlatformPrincipal": "id", "EventDeliveryFailure": told}))
	device := b.device(strings.Repeat("ab", 32), "", nil)
	b.subscribe(told, "application", device, nil)
	news := b.topic("news")
	b.subscribe(news, "application", device, nil)
	require.NoError(t, b.setDevice(device, map[string]string{"Enabled": "false"}))
	for want := 1; want <= 2; want++ {
		b.say(&awssns.PublishInput{TopicArn: &news, Message: aws.String("hi")})
		require.Eventually(t, func() bool { return len(b.receive("heard")) == 1 }, 10*time.Second, time.Millisecond)
	}
	require.Empty(t, b.receive("heard"))
}

// TestLaxAppsNeedNothing: test suites name what they like.
func TestLaxAppsNeedNothing(t *testing.T) {
	t.Parallel()
	b := start(t, func(o *sns.Options) { o.Lax = true })
	require.NoError(t, b.tryApp("APNS", "my-app", map[string]string{}))
	device := b.device("some_unique_id", "", nil)
	b.say(&awssns.PublishInput{TargetArn: &device, Message: aws.String("hi")})
	require.Equal(t, "some_unique_id", b.sent["application"].next(t).Endpoint)
	_, err := b.tryDevice("not/in/a?path", "", nil)
	invalidly(t, err, "Token Reason: iOS device tokens must be no more than 400 hexadecimal characters")
}
