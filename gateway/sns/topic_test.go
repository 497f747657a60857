package sns_test

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/stretchr/testify/require"
)

func TestCreateTopicIsIdempotent(t *testing.T) {
	t.Parallel()
	b := start(t)
	create := func(name string, attributes map[string]string, tags ...types.Tag) (string, error) {
		out, err := b.CreateTopic(t.Context(), &awssns.CreateTopicInput{Name: &name, Attributes: attributes, Tags: tags})
		if err != nil {
			return "", err
		}
		return *out.TopicArn, nil
	}
	tagged := types.Tag{Key: aws.String("k"), Value: aws.String("v")}
	arn, err := create("alerts", map[string]string{"DisplayName": "Alerts", "TracingConfig": "Active"}, tagged)
	require.NoError(t, err)
	require.Equal(t, "arn:aws:sns:us-east-1:000000000000:alerts", arn)
	for _, same := range []map[string]string{nil, {"DisplayName": "Alerts"}, {"TracingConfig": "Active"}} {
		again, err := create("alerts", same)
		require.NoError(t, err)
		require.Equal(t, arn, again)
	}
	_, err = create("alerts", map[string]string{"DisplayName": "Other"})
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: Attributes Reason: Topic already exists with different attributes")
	_, err = create("alerts", nil, types.Tag{Key: aws.String("k"), Value: aws.String("w")})
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: Tags Reason: Topic already exists with different tags")

	for name, attributes := range map[string]map[string]string{
		"with.dot": nil, "orders.fifo": nil, strings.Repeat("a", 257): nil, "ä": nil,
	} {
		_, err = create(name, attributes)
		refused(t, err, "InvalidParameter", 400, "Invalid parameter: Topic Name")
	}
	_, err = create("orders", map[string]string{"FifoTopic": "true"})
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: Fifo Topic names must end with .fifo and must be made up of only uppercase and lowercase ASCII letters, numbers, underscores, and hyphens, and must be between 1 and 256 characters long.")
	arn, err = create("orders.fifo", map[string]string{"FifoTopic": "true", "ContentBasedDeduplication": "true"})
	require.NoError(t, err)
	got, err := b.GetTopicAttributes(t.Context(), &awssns.GetTopicAttributesInput{TopicArn: &arn})
	require.NoError(t, err)
	require.Equal(t, "true", got.Attributes["FifoTopic"])
	require.Equal(t, "true", got.Attributes["ContentBasedDeduplication"])
	require.NotContains(t, got.Attributes, "FifoThroughputScope", "shown once it is set")
	_, err = create("plain", map[string]string{"Unknown": "x"})
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: Attributes Reason: AttributeName")
}

func TestDeleteTopicIsIdempotent(t *testing.T) {
	t.Parallel()
	b := start(t)
	arn := b.topic("gone")
	for range 2 {
		_, err := b.DeleteTopic(t.Context(), &awssns.DeleteTopicInput{TopicArn: &arn})
		require.NoError(t, err)
	}
	_, err := b.GetTopicAttributes(t.Context(), &awssns.GetTopicAttributesInput{TopicArn: &arn})
	refused(t, err, "NotFound", 404, "Topic does not exist")
}

func TestListTopicsGoesInPages(t *testing.T) {
	t.Parallel()
	b := start(t)
	for n := range 101 {
		b.topic(fmt.Sprintf("t%03d", n))
	}
	first, err := b.ListTopics(t.Context(), &awssns.ListTopicsInput{})
	require.NoError(t, err)
	require.Len(t, first.Topics, 100)
	rest, err := b.ListTopics(t.Context(), &awssns.ListTopicsInput{NextToken: first.NextToken})
	require.NoError(t, err)
	require.Len(t, rest.Topics, 1)
	require.Equal(t, "arn:aws:sns:us-east-1:000000000000:t100", *rest.Topics[0].TopicArn)
	require.Nil(t, rest.NextToken)
	_, err = b.ListTopics(t.Context(), &awssns.ListTopicsInput{NextToken: aws.String("!")})
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: NextToken")
}

func TestTopicAttributes(t *testing.T) {
	t.Parallel()
	b := start(t)
	arn := b.topic("alerts")
	got, err := b.GetTopicAttributes(t.Context(), &awssns.GetTopicAttributesInput{TopicArn: &arn})
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"TopicArn": arn, "Owner": "000000000000", "DisplayName": "",
		"SubscriptionsConfirmed": "0", "SubscriptionsPending": "0", "SubscriptionsDeleted": "0",
		"Policy":                  `{"Version":"2008-10-17","Id":"__default_policy_ID","Statement":[{"Sid":"__default_statement_ID","Effect":"Allow","Principal":{"AWS":"*"},"Action":["SNS:GetTopicAttributes","SNS:SetTopicAttributes","SNS:AddPermission","SNS:RemovePermission","SNS:DeleteTopic","SNS:Subscribe","SNS:ListSubscriptionsByTopic","SNS:Publish"],"Resource":"` + arn + `","Condition":{"StringEquals":{"AWS:SourceOwner":"000000000000"}}}]}`,
		"EffectiveDeliveryPolicy": `{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":20,"maxDelayTarget":20,"numRetries":3,"numMaxDelayRetries":0,"numNoDelayRetries":0,"numMinDelayRetries":0,"backoffFunction":"linear"},"disableSubscriptionOverrides":false,"defaultRequestPolicy":{"headerContentType":"text/plain; charset=UTF-8"}}}`,
	}, got.Attributes)

	set := func(name, value string) error {
		_, err := b.SetTopicAttributes(t.Context(), &awssns.SetTopicAttributesInput{TopicArn: &arn, AttributeName: &name, AttributeValue: &value})
		return err
	}
	kept := map[string]string{
		"DisplayName": "Alerts", "Policy": `{"Version":"2012-10-17"}`, "TracingConfig": "Active", "KmsMasterKeyId": "alias/aws/sns",
		"SignatureVersion": "2", "HTTPSuccessFeedbackRoleArn": "arn:aws:iam::000000000000:role/r", "SQSSuccessFeedbackSampleRate": "100",
		"LambdaFailureFeedbackRoleArn": "arn:aws:iam::000000000000:role/r", "ArchivePolicy": `{"MessageRetentionPeriod":"30"}`,
		"DeliveryPolicy": `{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":1,"maxDelayTarget":60,"numRetries":50,"numNoDelayRetries":3,"backoffFunction":"exponential"},"disableSubscriptionOverrides":false}}`,
	}
	for name, value := range kept {
		require.NoError(t, set(name, value), name)
	}
	got, err = b.GetTopicAttributes(t.Context(), &awssns.GetTopicAttributesInput{TopicArn: &arn})
	require.NoError(t, err)
	require.Subset(t, got.Attributes, kept)
	require.Contains(t, got.Attributes["EffectiveDeliveryPolicy"], `"numRetries":50`)

	for name, c := range map[string]struct{ value, message string }{
		"Color":                         {"red", "AttributeName"},
		"FifoTopic":                     {"true", "AttributeName"},
		"SignatureVersion":              {"3", "SignatureVersion: Invalid value [3]. Must be 1 or 2."},
		"TracingConfig":                 {"x", "TracingConfig: Invalid value [x]. Must be PassThrough or Active."},
		"HTTPSuccessFeedbackSampleRate": {"101", "HTTPSuccessFeedbackSampleRate: must be a number from 0 to 100"},
		"ContentBasedDeduplication":     {"true", "ContentBasedDeduplication: is for FIFO topics only"},
		"Policy":                        {"{", "Policy Error: null"},
		"DeliveryPolicy":                {`{"http":{"defaultHealthyRetryPolicy":{"numRetries":101}}}`, "DeliveryPolicy: http.defaultHealthyRetryPolicy.numRetries must be less than or equal to 100"},
	} {
		refused(t, set(name, c.value), "InvalidParameter", 400, "Invalid parameter: "+c.message)
	}
	refused(t, set("Policy", ""), "InvalidParameter", 400, "Invalid parameter: Policy Error: null")
}

func TestARNsThatAreNone(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("alerts")
	get := func(arn string) error {
		_, err := b.GetTopicAttributes(t.Context(), &awssns.GetTopicAttributesInput{TopicArn: &arn})
		return err
	}
	refused(t, get("alerts"), "InvalidParameter", 400, "Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not 1")
	refused(t, get("arn:aws:sns:eu-west-1:000000000000:alerts"), "InvalidParameter", 400, "Invalid parameter: TopicArn")
	refused(t, get("arn:aws:sqs:us-east-1:000000000000:alerts"), "InvalidParameter", 400, "Invalid parameter: TopicArn")
	refused(t, get("arn:aws:sns:us-east-1:000000000000:none"), "NotFound", 404, "Topic does not exist")
	refused(t, get("arn:aws:sns:us-east-1:111111111111:alerts"), "AuthorizationError", 403, "User: arn:aws:iam::000000000000:root is not authorized to perform: SNS:GetTopicAttributes on resource: arn:aws:sns:us-east-1:111111111111:alerts because no resource-based policy allows the SNS:GetTopicAttributes action")
}

func TestTags(t *testing.T) {
	t.Parallel()
	b := start(t)
	arn := b.topic("alerts")
	one := func(k, v string) types.Tag { return types.Tag{Key: &k, Value: &v} }
	_, err := b.TagResource(t.Context(), &awssns.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{one("b", "1"), one("a", "1")}})
	require.NoError(t, err)
	_, err = b.TagResource(t.Context(), &awssns.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{one("a", "2"), one("c", "")}})
	require.NoError(t, err)
	_, err = b.UntagResource(t.Context(), &awssns.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"b", "none"}})
	require.NoError(t, err)
	got, err := b.ListTagsForResource(t.Context(), &awssns.ListTagsForResourceInput{ResourceArn: &arn})
	require.NoError(t, err)
	require.Equal(t, []types.Tag{one("a", "2"), one("c", "")}, got.Tags)
	_, err = b.TagResource(t.Context(), &awssns.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{one("a", "1"), one("a", "2")}})
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: Duplicated keys are not allowed.")
	var many []types.Tag
	for n := range 51 {
		many = append(many, one(fmt.Sprint(n), ""))
	}
	_, err = b.TagResource(t.Context(), &awssns.TagResourceInput{ResourceArn: &arn, Tags: many})
	refused(t, err, "TagLimitExceeded", 400, "Could not complete request: tag quota of per resource exceeded")
	_, err = b.ListTagsForResource(t.Context(), &awssns.ListTagsForResourceInput{ResourceArn: aws.String(arn + "x")})
	refused(t, err, "ResourceNotFound", 404, "Resource does not exist")
}

func TestPermissionsStandInThePolicy(t *testing.T) {
	t.Parallel()
	b := start(t)
	arn := b.topic("alerts")
	add := func(actions ...string) error {
		_, err := b.AddPermission(t.Context(), &awssns.AddPermissionInput{
			TopicArn: &arn, Label: aws.String("partners"), AWSAccountId: []string{"111111111111"}, ActionName: actions,
		})
		return err
	}
	policy := func() string {
		got, err := b.GetTopicAttributes(t.Context(), &awssns.GetTopicAttributesInput{TopicArn: &arn})
		require.NoError(t, err)
		return got.Attributes["Policy"]
	}
	before := policy()
	refused(t, add("Fly"), "InvalidParameter", 400, "Invalid parameter: Policy statement action out of service scope!")
	require.NoError(t, add("Publish", "Subscribe"))
	require.Contains(t, policy(), `{"Sid":"partners","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":["SNS:Publish","SNS:Subscribe"],"Resource":"`+arn+`"}`)
	refused(t, add("Publish"), "InvalidParameter", 400, "Invalid parameter: Statement already exists")
	_, err := b.RemovePermission(t.Context(), &awssns.RemovePermissionInput{TopicArn: &arn, Label: aws.String("partners")})
	require.NoError(t, err)
	require.Equal(t, before, policy())
}

func TestPoliciesHaveASize(t *testing.T) {
	t.Parallel()
	b := start(t)
	arn := b.topic("alerts")
	set := func(policy string) error {
		_, err := b.SetTopicAttributes(t.Context(), &awssns.SetTopicAttributesInput{TopicArn: &arn, AttributeName: aws.String("Policy"), AttributeValue: &policy})
		return err
	}
	add := func(label string, account string) error {
		_, err := b.AddPermission(t.Context(), &awssns.AddPermissionInput{TopicArn: &arn, Label: &label, AWSAccountId: []string{account}, ActionName: []string{"Publish"}})
		return err
	}
	policy := func(padding int) string { return `{"Id":"` + strings.Repeat("x", padding) + `"}` }
	refused(t, add("a", "Bogus"), "InvalidParameter", 400, "Invalid parameter: AWSAccountId Reason: must be the number of an account, 12 digits")
	require.NoError(t, set(policy(30<<10-len(policy(0)))))
	refused(t, set(policy(30<<10+1-len(policy(0)))), "InvalidParameter", 400, "Invalid parameter: Policy: must be at most 30720 bytes")
	refused(t, set("null"), "InvalidParameter", 400, "Invalid parameter: Policy Error: null")
	const most = "Invalid parameter: Policy: must have at most 100 statements and 30720 bytes"
	refused(t, add("a", "111111111111"), "InvalidParameter", 400, most)
	require.NoError(t, set("{}"))
	for n := range 100 {
		require.NoError(t, add(strconv.Itoa(n), "111111111111"))
	}
	refused(t, add("a", "111111111111"), "InvalidParameter", 400, most)
}

// What must be given and is not has AWS's words in every action.
func TestWhatIsMissingIsNamed(t *testing.T) {
	t.Parallel()
	b := start(t)
	arn := b.topic("alerts")
	for parameter, form := range map[string]url.Values{
		"label":      {"Action": {"RemovePermission"}, "TopicArn": {arn}},
		"attributes": {"Action": {"SetSMSAttributes"}},
	} {
		status, answer := b.raw(form)
		require.Equal(t, 400, status)
		require.Contains(t, answer, "<Code>ValidationError</Code><Message>1 validation error detected: Value null at &#39;"+parameter+"&#39; failed to satisfy constraint: Member must not be null")
	}
}

// The names that are only kept have a size.
func TestKeptNamesHaveASize(t *testing.T) {
	t.Parallel()
	b := start(t)
	arn := b.topic("alerts")
	long := strings.Repeat("x", 2049)
	for _, name := range []string{"KmsMasterKeyId", "HTTPSuccessFeedbackRoleArn", "SQSFailureFeedbackRoleArn"} {
		_, err := b.SetTopicAttributes(t.Context(), &awssns.SetTopicAttributesInput{TopicArn: &arn, AttributeName: &name, AttributeValue: &long})
		refused(t, err, "InvalidParameter", 400, "Invalid parameter: "+name+": must be at most 2048 bytes")
	}
	_, err := b.trySubscribe(arn, "sqs", queueARN, map[string]string{"SubscriptionRoleArn": long})
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: Attributes Reason: SubscriptionRoleArn: must be at most 2048 bytes")
}

func TestUnsupportedActionsSaySo(t *testing.T) {
	t.Parallel()
	b := start(t)
	_, err := b.GetSMSSandboxAccountStatus(t.Context(), &awssns.GetSMSSandboxAccountStatusInput{})
	refused(t, err, "UnsupportedOperation", 400, "This gateway has no SMS sandbox of AWS: its accounts' numbers are in no sandbox.")
}

func TestTopicAnswersOnTheWire(t *testing.T) {
	t.Parallel()
	b := start(t)
	arn := "arn:aws:sns:us-east-1:000000000000:alerts"
	const head, meta = `<?xml version="1.0"?>`, `<ResponseMetadata><RequestId>ID</RequestId></ResponseMetadata>`
	for _, c := range []struct {
		form   string
		status int
		answer string
	}{
		{"Action=CreateTopic&Name=alerts&Tags.member.1.Key=k&Tags.member.1.Value=v", 200, `<CreateTopicResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><CreateTopicResult><TopicArn>` + arn + `</TopicArn></CreateTopicResult>` + meta + `</CreateTopicResponse>`},
		{"Action=ListTopics", 200, `<ListTopicsResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><ListTopicsResult><Topics><member><TopicArn>` + arn + `</TopicArn></member></Topics></ListTopicsResult>` + meta + `</ListTopicsResponse>`},
		{"Action=ListTagsForResource&ResourceArn=" + arn, 200, `<ListTagsForResourceResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><ListTagsForResourceResult><Tags><member><Key>k</Key><Value>v</Value></member></Tags></ListTagsForResourceResult>` + meta + `</ListTagsForResourceResponse>`},
		{"Action=SetTopicAttributes&AttributeName=DisplayName&AttributeValue=A&TopicArn=" + arn, 200, `<SetTopicAttributesResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">` + meta + `</SetTopicAttributesResponse>`},
		{"Action=DeleteTopic&TopicArn=" + arn, 200, `<DeleteTopicResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">` + meta + `</DeleteTopicResponse>`},
		{"Action=GetTopicAttributes&TopicArn=" + arn, 404, `<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>NotFound</Code><Message>Topic does not exist</Message></Error><RequestId>ID</RequestId></ErrorResponse>`},
		{"Action=CreateTopic", 400, `<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>ValidationError</Code><Message>1 validation error detected: Value null at &#39;name&#39; failed to satisfy constraint: Member must not be null</Message></Error><RequestId>ID</RequestId></ErrorResponse>`},
		{"Action=Nothing", 400, `<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>InvalidAction</Code><Message>The action Nothing is not valid for this endpoint.</Message></Error><RequestId>ID</RequestId></ErrorResponse>`},
	} {
		form, err := url.ParseQuery(c.form)
		require.NoError(t, err)
		status, answer := b.raw(form)
		require.Equal(t, head+c.answer, answer)
		require.Equal(t, c.status, status)
	}
}
