package sns

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/topics"
)

// setsApplication is the change that attributes make to an application.
func (s *service) setsApplication(o topics.Owner, attributes map[string]string) func(*topics.PlatformApplication) error {
	return func(app *topics.PlatformApplication) error {
		const reason = "Attributes Reason: "
		for _, name := range slices.Sorted(maps.Keys(attributes)) {
			if why := s.setApplicationAttribute(o, app, name, attributes[name]); why != "" {
				return invalid(reason + why)
			}
		}
		if why := missingCredential(app); why != "" && !s.Lax {
			return invalid(reason + why)
		}
		if err := s.Applications.Check(o, *app); err != nil {
			return invalid(reason + "Platform credentials are invalid: " + err.Error())
		}
		return nil
	}
}

func missingCredential(app *topics.PlatformApplication) string {
	switch {
	case app.Credential == "" && app.Principal != "":
		return "PlatformPrincipal attribute provided without PlatformCredential"
	case app.Credential == "":
		return "PlatformCredential attribute is required"
	case app.Principal == "" && app.Platform != topics.GCM:
		return "PlatformCredential attribute provided without PlatformPrincipal"
	}
	return ""
}

// setApplicationAttribute checks and sets one attribute; an empty value takes it
// away. It says what is wrong, or "".
// https://docs.aws.amazon.com/sns/latest/api/API_SetPlatformApplicationAttributes.html
func (s *service) setApplicationAttribute(o topics.Owner, app *topics.PlatformApplication, name, value string) string {
	switch name {
	case "PlatformCredential":
		app.Credential = value
	case "PlatformPrincipal":
		app.Principal = value
	case "ApplePlatformTeamID":
		app.TeamID = value
	case "ApplePlatformBundleID":
		app.BundleID = value
	case enabled:
		on, err := strconv.ParseBool(strings.ToLower(cmp.Or(value, "true")))
		if err != nil {
			return invalidValue(name, "must be true or false")
		}
		app.Disabled = !on
	default:
		if why := s.checkApplicationAttribute(o, name, value); why != "" {
			return why
		}
		if app.Attributes == nil {
			app.Attributes = map[string]string{}
		}
		if app.Attributes[name] = value; value == "" {
			delete(app.Attributes, name)
		}
	}
	return ""
}

func invalidValue(name, why string) string {
	return "Invalid value for attribute: " + name + ": " + why
}

// checkApplicationAttribute checks one that is kept as it is.
func (s *service) checkApplicationAttribute(o topics.Owner, name, value string) string {
	switch name {
	case eventCreated, eventDeleted, eventUpdated, eventFailure, "EventDeliveryAttemptFailure":
		if value == "" {
			return ""
		}
		return s.checkEventTopic(o, name, value)
	case "SuccessFeedbackRoleArn", "FailureFeedbackRoleArn":
		return ""
	case "SuccessFeedbackSampleRate":
		if why := percent(nil, cmp.Or(value, "0")); why != "" {
			return invalidValue(name, why)
		}
		return ""
	}
	return "Invalid attribute name: " + name
}

// checkEventTopic checks the topic that events are published to.
func (s *service) checkEventTopic(o topics.Owner, name, arn string) string {
	topic := s.eventTopic(o, arn)
	if topic == "" {
		return invalidValue(name, "must be the ARN of a topic of this account and region")
	}
	if isFIFO(topic) {
		return invalidValue(name, "must not be a FIFO topic")
	}
	if _, err := s.Topics.Topic(o, topic); err != nil {
		return invalidValue(name, "Topic does not exist")
	}
	return ""
}

// shownApplication are the attributes anybody may see; the credentials are none.
// https://docs.aws.amazon.com/sns/latest/api/API_GetPlatformApplicationAttributes.html
func shownApplication(app *topics.PlatformApplication) map[string]string {
	all := map[string]string{enabled: strconv.FormatBool(!app.Disabled), "AuthenticationMethod": "Token"}
	for name, value := range map[string]string{"ApplePlatformTeamID": app.TeamID, "ApplePlatformBundleID": app.BundleID} {
		if value != "" {
			all[name] = value
		}
	}
	if cert, _ := app.Certificate(); cert != nil {
		all["AuthenticationMethod"] = "Certificate"
		all["AppleCertificateExpiryDate"] = cert.NotAfter.UTC().Format(time.RFC3339)
	}
	maps.Copy(all, app.Attributes)
	return all
}
