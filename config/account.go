package config

import (
	"time"
)

// Account is one account of a provider: its limits and one block with its
// credentials, named like the provider.
type Account struct {
	Name        string        `yaml:"name" form:"name" required:"" doc:"name in queues, metrics and the API"`
	Provider    string        `yaml:"provider" enum:"twilio,apns,fcm,smtp,webhook,sqs,lambda" required:"" doc:"whose account it is"`
	Rate        float64       `yaml:"rate" min:"0" max:"1000000" doc:"most attempts a second, for SMS segments; 0: no bound"`
	Burst       int           `yaml:"burst" min:"0" max:"1000000" doc:"attempts at once after a pause; 0: those of one second"`
	Concurrency int           `yaml:"concurrency" min:"1" max:"10000" doc:"most attempts at the same time"`
	PerGroup    int           `yaml:"per_group" min:"0" max:"10000" doc:"most attempts at the same time to one group (webhook host, mail domain, SMS country, app); 0: what suits the provider"`
	Timeout     time.Duration `yaml:"timeout" min:"100ms" max:"15m" doc:"longest time of one attempt"`

	Twilio  *Twilio  `yaml:"twilio,omitempty" doc:"SMS by Twilio"`
	APNs    *APNs    `yaml:"apns,omitempty" doc:"push to Apple devices"`
	FCM     *FCM     `yaml:"fcm,omitempty" doc:"push by Firebase"`
	SMTP    *SMTP    `yaml:"smtp,omitempty" doc:"mail by an SMTP relay"`
	Webhook *Webhook `yaml:"webhook,omitempty" doc:"HTTP requests"`
	SQS     *SQS     `yaml:"sqs,omitempty" doc:"remote SQS queues"`
	Lambda  *Lambda  `yaml:"lambda,omitempty" doc:"Lambda functions"`
}

func (a *Account) defaults() {
	a.Concurrency, a.Timeout = 16, 30*time.Second
}

// Protocol is the protocol of subscriptions the account delivers to; a webhook
// account serves https and http both.
func (a Account) Protocol() string {
	return map[string]string{
		"twilio": "sms", "apns": "application", "fcm": "application", "smtp": "email",
		"webhook": "https", "sqs": "sqs", "lambda": "lambda",
	}[a.Provider]
}

// Protocols are those of subscriptions.
func Protocols() []string {
	return []string{"sms", "application", "email", "https", "http", "sqs", "lambda"}
}

// Twilio is an account or subaccount of Twilio.
type Twilio struct {
	AccountSID          string `yaml:"account_sid" required:"" doc:"AC…"`
	AuthToken           Secret `yaml:"auth_token" doc:"auth token; also checks the signatures of callbacks"`
	APIKey              string `yaml:"api_key" doc:"SK…, instead of the auth token for requests"`
	APISecret           Secret `yaml:"api_secret" doc:"secret of the API key"`
	From                string `yaml:"from" doc:"sender: a number in E.164 or a sender name"`
	MessagingServiceSID string `yaml:"messaging_service_sid" doc:"MG…, instead of from"`
	BaseURL             string `yaml:"base_url" form:"url" doc:"address of the API, if not Twilio's own"`
}

// APNs is one app's access to Apple's push service, by a token key or a certificate.
type APNs struct {
	Topic          string `yaml:"topic" required:"" doc:"bundle id of the app"`
	Key            Secret `yaml:"key" form:"pem" doc:"token key (the .p8 file's content)"`
	KeyID          string `yaml:"key_id" doc:"id of the token key"`
	TeamID         string `yaml:"team_id" doc:"team of the token key"`
	Certificate    PEM    `yaml:"certificate" form:"pem" doc:"certificate, instead of a token key"`
	CertificateKey Secret `yaml:"certificate_key" form:"pem" doc:"private key of the certificate"`
	Sandbox        bool   `yaml:"sandbox" doc:"use Apple's development environment"`
	Host           string `yaml:"host" form:"url" doc:"address of the service, if not Apple's own"`
	CA             PEM    `yaml:"ca" form:"pem" doc:"certificates trusted instead of the system's"`
}

// FCM is a Firebase project.
type FCM struct {
	Credentials Secret `yaml:"credentials" required:"" doc:"key file of a service account (its JSON)"`
	ProjectID   string `yaml:"project_id" doc:"project, if not that of the credentials"`
	Endpoint    string `yaml:"endpoint" form:"url" doc:"address of the API, if not Google's own"`
}

// SMTP is a mail relay.
type SMTP struct {
	Host         string `yaml:"host" required:"" doc:"name of the relay"`
	Port         int    `yaml:"port" min:"1" max:"65535" doc:"port of the relay"`
	TLS          string `yaml:"tls" enum:"starttls,implicit,none" doc:"how the connection is encrypted"`
	Username     string `yaml:"username" doc:"empty for no authentication"`
	Password     Secret `yaml:"password" doc:"of the username"`
	From         string `yaml:"from" form:"mail" required:"" doc:"sender of all mails: a@example.com or Name <a@example.com>"`
	CA           PEM    `yaml:"ca" form:"pem" doc:"certificates trusted instead of the system's"`
	DKIM         DKIM   `yaml:"dkim" doc:"signature of mails; off without a domain"`
	EventsSecret Secret `yaml:"events_secret" doc:"key of the signatures of bounce and complaint reports"`
}

func (s *SMTP) defaults() { s.Port, s.TLS = 587, "starttls" }

// DKIM signs mails.
type DKIM struct {
	Domain   string `yaml:"domain" doc:"signing domain"`
	Selector string `yaml:"selector" doc:"name of the key in DNS"`
	Key      Secret `yaml:"key" form:"pem" doc:"private key"`
}

// Webhook is how HTTP requests to subscribers are made.
type Webhook struct {
	CA PEM `yaml:"ca" form:"pem" doc:"certificates trusted instead of the system's"`
}

// SQS is access to remote queues.
type SQS struct {
	Region          string `yaml:"region" required:"" doc:"AWS region"`
	AccessKeyID     string `yaml:"access_key_id" required:"" doc:"AWS access key"`
	SecretAccessKey Secret `yaml:"secret_access_key" required:"" doc:"of the access key"`
	SessionToken    Secret `yaml:"session_token" doc:"of temporary credentials"`
	Endpoint        string `yaml:"endpoint" form:"url" doc:"address of the service, if not Amazon's own"`
}

// Lambda is access to functions.
type Lambda struct {
	Region          string `yaml:"region" required:"" doc:"AWS region"`
	AccessKeyID     string `yaml:"access_key_id" required:"" doc:"AWS access key"`
	SecretAccessKey Secret `yaml:"secret_access_key" required:"" doc:"of the access key"`
	SessionToken    Secret `yaml:"session_token" doc:"of temporary credentials"`
	Endpoint        string `yaml:"endpoint" form:"url" doc:"address of the service, if not Amazon's own"`
	InvocationType  string `yaml:"invocation_type" enum:"RequestResponse,Event" doc:"wait for the function's result, or only hand over"`
}

func (l *Lambda) defaults() { l.InvocationType = "RequestResponse" }
