package sns

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/topics"
)

// Message attributes that SNS reads itself. They stay attributes too: filter
// policies and machines see them.
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html#sns-attrib-mobile-reserved
// https://docs.aws.amazon.com/sns/latest/dg/sms_publish-to-phone.html
const (
	mobile        = "AWS.SNS.MOBILE."
	applePushType = mobile + topics.APNS + ".PUSH_TYPE"
	appleTopic    = mobile + topics.APNS + ".TOPIC"
	applePriority = mobile + topics.APNS + ".PRIORITY"
	appleCollapse = mobile + topics.APNS + ".COLLAPSE_ID"

	smsSender      = "AWS.SNS.SMS.SenderID"
	smsType        = "AWS.SNS.SMS.SMSType"
	smsOrigination = "AWS.MM.SMS.OriginationNumber"
)

// maxLife bounds a TTL: push services keep a message for four weeks, or 30 days.
const maxLife = 400 * 24 * time.Hour

// rule is what a reserved attribute's value must be.
type rule struct {
	want string
	good func(value string) bool
}

func matching(want, form string) rule { return rule{want, regexp.MustCompile(form).MatchString} }

// reserved are the attributes that are checked. MaxPrice, EntityId and
// TemplateId are kept without effect: Twilio takes no price limit any more, and
// knows an Indian sender's registration by its number.
var reserved = map[string]rule{
	smsSender:                 {"must be 1 to 11 letters and digits, with at least one letter", isSenderID},
	smsType:                   matching("must be Promotional or Transactional", `^(Promotional|Transactional)$`),
	smsOrigination:            matching("must be 5 to 14 digits, with or without a leading +", `^\+?[0-9]{5,14}$`),
	"AWS.SNS.SMS.MaxPrice":    {"must be a price in USD, greater than 0", isPrice},
	"AWS.MM.SMS.EntityId":     matching("must be 1 to 50 characters", `^.{1,50}$`),
	"AWS.MM.SMS.TemplateId":   matching("must be 1 to 50 characters", `^.{1,50}$`),
	applePushType:             matching("must be a push type of APNs, such as alert or background", `^(alert|background|voip|complication|fileprovider|mdm|location|liveactivity|pushtotalk|widgets|controls)$`),
	appleTopic:                matching("must be the app's bundle id, such as com.example.app", `^[A-Za-z0-9][A-Za-z0-9.-]{0,254}$`),
	applePriority:             matching("must be 1, 5 or 10", `^(1|5|10)$`),
	appleCollapse:             matching("must be 1 to 64 printable characters", `^[!-~]{1,64}$`),
	mobile + "<PLATFORM>.TTL": {"must be a number of seconds, 0 or greater", func(v string) bool { return digits.MatchString(v) && seconds(v) != nil }},
}

var (
	digits   = regexp.MustCompile(`^[0-9]+$`)
	senderID = regexp.MustCompile(`^[A-Za-z0-9]{1,11}$`)
	ttlName  = regexp.MustCompile(`^AWS\.SNS\.MOBILE\.[A-Z_]+\.TTL$`)
)

func isSenderID(v string) bool {
	return senderID.MatchString(v) && !digits.MatchString(v)
}

func isPrice(v string) bool {
	n, err := strconv.ParseFloat(v, 64)
	return err == nil && n > 0 && !math.IsInf(n, 1)
}

// checkReserved checks an attribute that SNS reads itself, and lets all others
// pass.
func checkReserved(name string, a *attribute) error {
	key := name
	if ttlName.MatchString(name) {
		key = mobile + "<PLATFORM>.TTL"
	}
	if r, ok := reserved[key]; ok && (a.binary() || !r.good(*a.StringValue)) {
		return invalid(name + " Reason: " + r.want)
	}
	return nil
}

// sender is who an SMS comes from: a number before a name, the message's before
// the account's; "" leaves it to the channel.
func (f *Form) sender(o topics.Owner, attributes map[string]channels.Attribute) string {
	if number := attributes[smsOrigination].Value; number != "" {
		const longestShortCode = 6
		if len(number) > longestShortCode && !strings.HasPrefix(number, "+") {
			return "+" + number
		}
		return number
	}
	if name := attributes[smsSender].Value; name != "" {
		return name
	}
	settings, _, _ := read[map[string]string](f.Store, smsKey(o)) // unread, it is the channel's
	return settings["DefaultSenderID"]
}

// smsLane is the lane of an SMS to one number: what is promotional gives way to
// all else.
func (s *service) smsLane(o topics.Owner, m *message) (channels.Lane, error) {
	kind := ""
	if a, ok := m.MessageAttributes[smsType]; ok {
		kind = *a.StringValue
	} else {
		settings, _, err := read[map[string]string](s.Store, smsKey(o))
		if err != nil {
			return "", err
		}
		kind = settings["DefaultSMSType"]
	}
	if kind == "Promotional" {
		return channels.Bulk, nil
	}
	return channels.Transactional, nil
}
