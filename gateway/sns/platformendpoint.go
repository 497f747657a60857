package sns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// The attributes of a platform endpoint; an application has the first too.
// https://docs.aws.amazon.com/sns/latest/api/API_SetEndpointAttributes.html
const (
	enabled     = "Enabled"
	deviceToken = "Token"
	userData    = "CustomUserData"
)

// Limits in bytes.
const (
	maxToken      = 8192
	maxAppleToken = 400
	maxUserData   = 2048
)

type createEndpointIn struct {
	PlatformApplicationArn string            `json:"PlatformApplicationArn"`
	Token                  string            `json:"Token"`
	CustomUserData         string            `json:"CustomUserData"`
	Attributes             map[string]string `json:"Attributes" query:"Attributes.entry,key,value"`
}

type endpointIn struct {
	EndpointArn string            `json:"EndpointArn"`
	Attributes  map[string]string `json:"Attributes" query:"Attributes.entry,key,value"`
}

type endpointOut struct {
	EndpointArn string `json:"EndpointArn"`
}

type listedEndpoint struct {
	EndpointArn string            `json:"EndpointArn"`
	Attributes  map[string]string `json:"Attributes" query:"Attributes.entry,key,value"`
}

type listEndpointsOut struct {
	Endpoints []listedEndpoint `json:"Endpoints" query:"Endpoints.member"`
	NextToken string           `json:"NextToken,omitempty"`
}

// platformEndpointARN is a platform endpoint's ARN.
func (n names) platformEndpointARN(o topics.Owner, path string) string {
	return n.topicARN(o, "endpoint/"+path)
}

// endpointPath takes the ARN of a platform endpoint apart; it need not exist.
func (s *service) endpointPath(r *awswire.Request, arn string) (topics.Owner, string, error) {
	const parameter = "EndpointArn"
	path, o, err := s.pushARN(r, parameter, arn)
	if err != nil {
		return o, "", err
	}
	rest, ok := strings.CutPrefix(path, "endpoint/")
	if !ok || strings.Count(rest, "/") != 2 {
		return o, "", invalid(parameter + " Reason: Wrong number of slashes in relative portion of the ARN.")
	}
	return o, rest, nil
}

// createEndpoint makes an endpoint, or finds the one that has the token and is
// the same in all else.
func (s *service) createEndpoint(ctx context.Context, r *awswire.Request, in *createEndpointIn) (*endpointOut, error) {
	o, platform, name, err := s.application(r, in.PlatformApplicationArn)
	if err != nil {
		return nil, err
	}
	e := topics.PlatformEndpoint{Platform: platform, Application: name, Enabled: true}
	for _, given := range []struct{ name, value string }{{deviceToken, in.Token}, {userData, in.CustomUserData}} {
		if why := s.setEndpointAttribute(&e, given.name, given.value); why != "" {
			return nil, invalid(given.name + " Reason: " + why)
		}
	}
	if err := s.setEndpointAttributes(&e, in.Attributes); err != nil { // they go before the parameter
		return nil, err
	}
	made, err := s.Topics.CreatePlatformEndpoint(ctx, o, e)
	if err != nil {
		return nil, s.endpointFault(o, err, "PlatformApplication does not exist")
	}
	return &endpointOut{s.platformEndpointARN(o, made.Path())}, nil
}

// endpointFault is what an error of topics is in SNS's words.
func (n names) endpointFault(o topics.Owner, err error, absent string) error {
	var exists *topics.ExistsError
	if errors.As(err, &exists) {
		return invalid(fmt.Sprintf("Token Reason: Endpoint %s already exists with the same Token, but different attributes.",
			n.platformEndpointARN(o, exists.Path)))
	}
	return orNotFound(err, absent)
}

// orNotFound is err, or NotFound in these words.
func orNotFound(err error, words string) error {
	if errors.Is(err, topics.ErrNotFound) {
		return notFound(words)
	}
	return err
}

const unknownAttribute = "Invalid attribute name"

func invalidAttribute(name, why string) error {
	if why == unknownAttribute {
		return invalid("Attributes Reason: " + unknownAttribute + ": " + name)
	}
	return invalid("Attributes Reason: " + invalidValue(name, why))
}

// setEndpointAttributes checks and sets attributes in order of their names.
func (s *service) setEndpointAttributes(e *topics.PlatformEndpoint, attributes map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if why := s.setEndpointAttribute(e, name, attributes[name]); why != "" {
			return invalidAttribute(name, why)
		}
	}
	return nil
}

// setEndpointAttribute checks and sets one attribute. It says what is wrong, or "".
func (s *service) setEndpointAttribute(e *topics.PlatformEndpoint, name, value string) string {
	switch name {
	case enabled:
		on, err := strconv.ParseBool(strings.ToLower(cmp.Or(value, "true")))
		if err != nil {
			return "must be true or false"
		}
		e.Enabled = on
	case userData:
		if len(value) > maxUserData || !utf8.ValidString(value) {
			return fmt.Sprintf("must be at most %d bytes long in UTF-8 encoding", maxUserData)
		}
		e.UserData = value
	case deviceToken:
		if e.Platform != topics.GCM {
			value = strings.ToLower(value)
		}
		e.Token = value
		return s.checkToken(e)
	default:
		return unknownAttribute
	}
	return ""
}

// What Apple's tokens look like, and what a Lax one may, as it is part of a URL.
var (
	appleToken = regexp.MustCompile(`^[0-9a-f]+$`)
	laxToken   = regexp.MustCompile(`^[\w.:-]+$`)
)

// checkToken says what is wrong with an endpoint's token, or "".
func (s *service) checkToken(e *topics.PlatformEndpoint) string {
	apple, form := e.Platform != topics.GCM, appleToken
	if s.Lax {
		form = laxToken
	}
	switch {
	case e.Token == "":
		return "cannot be empty"
	case apple && (len(e.Token) > maxAppleToken || !form.MatchString(e.Token)):
		return fmt.Sprintf("iOS device tokens must be no more than %d hexadecimal characters", maxAppleToken)
	case len(e.Token) > maxToken || !utf8.ValidString(e.Token):
		return fmt.Sprintf("must be at most %d bytes long in UTF-8 encoding", maxToken)
	case strings.ContainsFunc(e.Token, unicode.IsControl):
		return "must not contain control characters"
	}
	return ""
}

func (s *service) setEndpoint(ctx context.Context, r *awswire.Request, in *endpointIn) (*nothing, error) {
	o, path, err := s.endpointPath(r, in.EndpointArn)
	if err != nil {
		return nil, err
	}
	if len(in.Attributes) == 0 {
		return nil, missing("attributes")
	}
	_, err = s.Topics.ChangePlatformEndpoint(ctx, o, path, func(e *topics.PlatformEndpoint) error {
		return s.setEndpointAttributes(e, in.Attributes)
	})
	return nil, s.endpointFault(o, err, "Endpoint does not exist")
}

func (s *service) getEndpoint(_ context.Context, r *awswire.Request, in *endpointIn) (*attributesOut, error) {
	o, path, err := s.endpointPath(r, in.EndpointArn)
	if err != nil {
		return nil, err
	}
	e, err := s.Topics.PlatformEndpoint(o, path)
	return &attributesOut{shownEndpoint(&e)}, orNotFound(err, "Endpoint does not exist")
}

func shownEndpoint(e *topics.PlatformEndpoint) map[string]string {
	all := map[string]string{enabled: strconv.FormatBool(e.Enabled), deviceToken: e.Token}
	if e.UserData != "" {
		all[userData] = e.UserData
	}
	return all
}

func (s *service) deleteEndpoint(ctx context.Context, r *awswire.Request, in *endpointIn) (*nothing, error) {
	o, path, err := s.endpointPath(r, in.EndpointArn)
	if err != nil {
		return nil, err
	}
	return nil, s.Topics.DeletePlatformEndpoint(ctx, o, path)
}

func (s *service) listEndpoints(_ context.Context, r *awswire.Request, in *applicationIn) (*listEndpointsOut, error) {
	o, platform, name, err := s.application(r, in.PlatformApplicationArn)
	if err != nil {
		return nil, err
	}
	last, err := lastOf(in.NextToken)
	if err != nil {
		return nil, err
	}
	var after queue.ID
	if last != "" {
		if after, err = queue.ParseID(last); err != nil {
			return nil, invalid("NextToken")
		}
	}
	found, err := s.Topics.PlatformEndpoints(o, platform, name, after, pageSize+1)
	if err != nil {
		return nil, orNotFound(err, "PlatformApplication does not exist")
	}
	out := &listEndpointsOut{}
	for i := range found[:min(len(found), pageSize)] {
		e := &found[i]
		out.Endpoints = append(out.Endpoints, listedEndpoint{s.platformEndpointARN(o, e.Path()), shownEndpoint(e)})
		last = e.ID.String()
	}
	out.NextToken = token(last, len(found) > pageSize)
	return out, nil
}

// errNoEndpoint: the ARN is that of no platform endpoint.
var errNoEndpoint = errors.New("no such platform endpoint")

// pushTarget is what an ARN of a platform endpoint stands for: an endpoint of the
// registry, or, in endpoint/PROVIDER/NAME/TOKEN, a device of the configured
// account PROVIDER/NAME.
func (s *service) pushTarget(o topics.Owner, path string) (topics.Target, error) {
	parts := strings.SplitN(path, "/", 4)
	if len(parts) != 4 || parts[0] != "endpoint" {
		return topics.Target{}, errNoEndpoint
	}
	to := topics.Target{Protocol: topics.Application, Endpoint: strings.Join(parts[1:], "/")}
	_, err := s.Topics.PlatformEndpoint(o, to.Endpoint)
	if err == nil || !errors.Is(err, topics.ErrNotFound) {
		return to, err
	}
	to.Account, to.Endpoint = strings.ToLower(parts[1])+"/"+parts[2], parts[3]
	if _, ok := s.Topics.Accounts.Account(to.Account); !ok {
		return to, errNoEndpoint
	}
	return to, nil
}

// publishable tells why nothing can be published to a platform endpoint.
func (s *service) publishable(o topics.Owner, to topics.Target) error {
	if to.Account != "" { // a configured one
		return nil
	}
	e, err := s.Topics.PlatformEndpoint(o, to.Endpoint)
	if err != nil {
		return err
	}
	app, err := s.Topics.PlatformApplication(o, e.Platform, e.Application)
	switch {
	case err != nil:
		return err
	case app.Disabled:
		return fault("PlatformApplicationDisabled", http.StatusBadRequest, "Platform application is disabled")
	case !e.Enabled:
		return fault("EndpointDisabled", http.StatusBadRequest, "Endpoint is disabled")
	}
	return nil
}
