package sns

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/topics"
)

// Applications delivers for platform applications.
type Applications interface {
	// Check tells what is wrong with an application's credentials and never
	// quotes them. It makes no call.
	Check(o topics.Owner, app topics.PlatformApplication) error
	// Apply takes over an application as the registry has it now, new, changed or
	// deleted: what is published from then on goes by it.
	Apply(ctx context.Context, o topics.Owner, platform, name string) error
}

type createApplicationIn struct {
	Name       string            `json:"Name"`
	Platform   string            `json:"Platform"`
	Attributes map[string]string `json:"Attributes" query:"Attributes.entry,key,value"`
}

type applicationOut struct {
	PlatformApplicationArn string `json:"PlatformApplicationArn"`
}

type applicationIn struct {
	PlatformApplicationArn string            `json:"PlatformApplicationArn"`
	Attributes             map[string]string `json:"Attributes" query:"Attributes.entry,key,value"`
	NextToken              string            `json:"NextToken"`
}

type listedApplication struct {
	PlatformApplicationArn string            `json:"PlatformApplicationArn"`
	Attributes             map[string]string `json:"Attributes" query:"Attributes.entry,key,value"`
}

type listApplicationsOut struct {
	PlatformApplications []listedApplication `json:"PlatformApplications" query:"PlatformApplications.member"`
	NextToken            string              `json:"NextToken,omitempty"`
}

// applicationARN is a platform application's ARN.
func (n names) applicationARN(o topics.Owner, platform, name string) string {
	return n.topicARN(o, "app/"+platform+"/"+name)
}

// application takes the ARN of a platform application apart; it need not exist.
func (s *service) application(r *awswire.Request, arn string) (o topics.Owner, platform, name string, err error) {
	const parameter = "PlatformApplicationArn"
	path, o, err := s.pushARN(r, parameter, arn)
	if err != nil {
		return o, "", "", err
	}
	parts := strings.Split(path, "/")
	if len(parts) != 3 || parts[0] != "app" {
		return o, "", "", invalid(parameter + " Reason: Wrong number of slashes in relative portion of the ARN.")
	}
	for _, name := range parts[1:] {
		if len(name) > maxName || !applicationName.MatchString(name) {
			return o, "", "", invalid(parameter)
		}
	}
	return o, parts[1], parts[2], nil
}

// pushARN is what stands behind the account in an ARN, and whose it is.
func (s *service) pushARN(r *awswire.Request, parameter, arn string) (path string, o topics.Owner, err error) {
	if arn == "" {
		return "", o, invalid(parameter + " Reason: no value for required parameter")
	}
	parts, err := elements(parameter, arn)
	if err != nil {
		return "", o, err
	}
	o, err = s.ownerOf(r, parameter, parts)
	return strings.Join(parts[5:], ":"), o, err
}

// maxName is the most characters of an application's name.
const maxName = 256

var applicationName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

func checkApplication(in *createApplicationIn) error {
	reason := ""
	switch {
	case in.Name == "":
		reason = "cannot be empty"
	case len(in.Name) > maxName:
		reason = fmt.Sprintf("must be at most %d characters long", maxName)
	case !applicationName.MatchString(in.Name):
		reason = "must contain only characters 'a'-'z', 'A'-'Z', '0'-'9', '_', '-', and '.'"
	}
	if reason != "" {
		return invalid(in.Name + " Reason: " + reason)
	}
	switch in.Platform {
	case topics.APNS, topics.APNSSandbox, topics.GCM:
		return nil
	case "":
		return missing("platform")
	}
	return invalid("Platform Reason: " + in.Platform + " is not supported")
}

// createApplication makes an application, or changes the one of the name.
func (s *service) createApplication(ctx context.Context, r *awswire.Request, in *createApplicationIn) (*applicationOut, error) {
	if in.Platform == "FCM" { // its name since 2018, which AWS's own API never took over
		in.Platform = topics.GCM
	}
	if err := checkApplication(in); err != nil {
		return nil, err
	}
	if len(in.Attributes) == 0 && !s.Lax { // the protocol cannot tell an empty map from none
		return nil, missing("attributes")
	}
	o := s.owner(r)
	ctx = context.WithoutCancel(ctx) // the account follows the record, whoever still listens
	_, err := s.Topics.CreatePlatformApplication(ctx, o, in.Platform, in.Name, s.setsApplication(o, in.Attributes))
	if err == nil {
		err = s.Applications.Apply(ctx, o, in.Platform, in.Name)
	}
	return &applicationOut{s.applicationARN(o, in.Platform, in.Name)}, err
}

func (s *service) setApplication(ctx context.Context, r *awswire.Request, in *applicationIn) (*nothing, error) {
	o, platform, name, err := s.application(r, in.PlatformApplicationArn)
	if err != nil {
		return nil, err
	}
	if len(in.Attributes) == 0 {
		return nil, missing("attributes")
	}
	ctx = context.WithoutCancel(ctx)
	_, err = s.Topics.ChangePlatformApplication(ctx, o, platform, name, s.setsApplication(o, in.Attributes))
	if err != nil {
		return nil, orNotFound(err, "PlatformApplication does not exist")
	}
	return nil, s.Applications.Apply(ctx, o, platform, name)
}

func (s *service) getApplication(_ context.Context, r *awswire.Request, in *applicationIn) (*attributesOut, error) {
	o, platform, name, err := s.application(r, in.PlatformApplicationArn)
	if err != nil {
		return nil, err
	}
	app, err := s.Topics.PlatformApplication(o, platform, name)
	if err != nil {
		return nil, orNotFound(err, "PlatformApplication does not exist")
	}
	return &attributesOut{shownApplication(&app)}, nil
}

func (s *service) listApplications(_ context.Context, r *awswire.Request, in *applicationIn) (*listApplicationsOut, error) {
	last, err := lastOf(in.NextToken)
	if err != nil {
		return nil, err
	}
	var after *topics.PlatformApplication
	if last != "" {
		platform, name, ok := strings.Cut(last, "/")
		if !ok {
			return nil, invalid("NextToken")
		}
		after = &topics.PlatformApplication{Platform: platform, Name: name}
	}
	o := s.owner(r)
	found, err := s.Topics.PlatformApplications(o, after, pageSize+1)
	out := &listApplicationsOut{}
	for i := range found[:min(len(found), pageSize)] {
		app := &found[i]
		out.PlatformApplications = append(out.PlatformApplications, listedApplication{s.applicationARN(o, app.Platform, app.Name), shownApplication(app)})
		last = app.Platform + "/" + app.Name
	}
	out.NextToken = token(last, len(found) > pageSize)
	return out, err
}

func (s *service) deleteApplication(ctx context.Context, r *awswire.Request, in *applicationIn) (*nothing, error) {
	o, platform, name, err := s.application(r, in.PlatformApplicationArn)
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx)
	if err := s.Topics.DeletePlatformApplication(ctx, o, platform, name); err != nil {
		return nil, fmt.Errorf("delete platform application: %w", err)
	}
	return nil, s.Applications.Apply(ctx, o, platform, name)
}
