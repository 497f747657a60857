// Package config is the gateway's configuration: one struct with its defaults,
// read from a YAML file, the environment and the command line, and checked as a
// whole. It also holds the files shipped with the gateway.
//
// What a key is called, means and may be stands in the tags of its field; file,
// environment, check, print and schema all go by them.
package config

import (
	"time"
)

// Config is everything an operator can set. Load reads it; Default is what
// holds without any file.
type Config struct {
	Listen       string        `yaml:"listen" form:"address" required:"" doc:"address of the public listener"`
	AdminListen  string        `yaml:"admin_listen" form:"address" required:"" doc:"address of metrics, health and pprof"`
	Data         string        `yaml:"data" required:"" doc:"folder of the store"`
	PublicURL    string        `yaml:"public_url" form:"url" doc:"where providers and people reach this gateway from outside: callbacks and unsubscribe links; empty for none"`
	DrainTimeout time.Duration `yaml:"drain_timeout" min:"0s" max:"10m" doc:"how long running deliveries may take to finish at SIGTERM"`
	ErrorBook    string        `yaml:"error_book" doc:"file of error book rows that come before the built-in ones"`
	Log          Log           `yaml:"log" doc:"logging, to standard error"`
	Store        Store         `yaml:"store" doc:"the durable store"`
	Limits       Limits        `yaml:"limits" doc:"bounds of what is accepted"`
	Fanout       Fanout        `yaml:"fanout" doc:"how a publish reaches its subscriptions"`
	Ledger       Ledger        `yaml:"ledger" doc:"what is kept of a publish"`
	Idempotency  Idempotency   `yaml:"idempotency" doc:"repeated requests"`
	Egress       Egress        `yaml:"egress" doc:"where outgoing requests may go"`
	Guard        Guard         `yaml:"guard" doc:"recipient guard, for staging"`
	Keys         []Key         `yaml:"keys" doc:"API keys of the native API; without any key, of AWS's neither, only loopback is served"`
	AWS          AWS           `yaml:"aws" doc:"the AWS faces: SQS and SNS"`
	Accounts     []Account     `yaml:"accounts" doc:"the providers' accounts deliveries go through"`
}

// Log is how the gateway logs.
type Log struct {
	Level  string `yaml:"level" enum:"debug,info,warn,error" doc:"least level that is logged"`
	Format string `yaml:"format" enum:"json,text" doc:"form of a line"`
}

// Store sets the store up.
type Store struct {
	Shards   int     `yaml:"shards" min:"0" max:"256" doc:"number of shards of a new store; 0: by the number of cores"`
	Cache    Size    `yaml:"cache" min:"1MiB" max:"1TiB" doc:"memory for blocks read, beside the memtables"`
	MemTable Size    `yaml:"memtable" min:"1MiB" max:"2GiB" doc:"memory for writes before they are sorted to disk"`
	MinFree  Size    `yaml:"min_free" min:"0B" max:"1PiB" doc:"publishes are refused when less of the disk is free"`
	MaxUsed  float64 `yaml:"max_used" min:"0.1" max:"1" doc:"publishes are refused when a larger share of the disk is used"`
}

// Limits bound requests.
type Limits struct {
	Message Size `yaml:"message" min:"1KiB" max:"64MiB" doc:"most bytes of a message's content"`
	Request Size `yaml:"request" min:"1KiB" max:"128MiB" doc:"most bytes of a request's body; twice as many on the AWS faces, whose forms write a byte as up to three"`
	Import  Size `yaml:"import" min:"1KiB" max:"1TiB" doc:"most bytes of one import of subscriptions"`
}

// Fanout sets what a publish does before it is answered, and after.
type Fanout struct {
	Matches    int `yaml:"matches" min:"1" max:"1000" doc:"most deliveries written before a publish is answered"`
	Candidates int `yaml:"candidates" min:"1" max:"100000" doc:"most subscriptions looked at before a publish is answered"`
	Chunk      int `yaml:"chunk" min:"1" max:"10000" doc:"subscriptions the expander looks at in one batch"`
	Ahead      int `yaml:"ahead" min:"1" max:"1000000" doc:"deliveries of one publish that may wait in the queues"`
}

// Ledger is about the record of a publish.
type Ledger struct {
	Retention time.Duration `yaml:"retention" min:"1m" max:"9600h" doc:"how long a ledger is kept after its completion"`
}

// Idempotency is about the Idempotency-Key header.
type Idempotency struct {
	TTL time.Duration `yaml:"ttl" min:"1m" max:"720h" doc:"how long an Idempotency-Key is remembered"`
}

// Egress is the guard of outgoing requests.
type Egress struct {
	Allow []string `yaml:"allow" form:"cidr" doc:"networks that may be reached although they are not public (CIDR)"`
}

// Guard is the recipient guard.
type Guard struct {
	Only     []string          `yaml:"only" form:"pattern" doc:"endpoints that may be delivered to, * for any text; empty for all"`
	Redirect map[string]string `yaml:"redirect" doc:"protocol: endpoint that gets what the guard holds back"`
}

// Key is an API key. Only its hash is known.
type Key struct {
	Name    string   `yaml:"name" form:"name" required:"" doc:"name in logs and the ledger"`
	Hash    string   `yaml:"hash" form:"hash" required:"" doc:"sha256: and the hash of the key in hexadecimal"`
	Scopes  []string `yaml:"scopes" enum:"publish,read,manage,admin" required:"" doc:"what the key may do"`
	Account string   `yaml:"account" form:"owner" required:"" doc:"account number (12 digits) whose topics the key sees"`
}

func (k *Key) defaults() { k.Account = "000000000000" }

// Keyless tells that there is no key of either kind: everybody on this machine
// may do everything, and nobody else anything.
func (c Config) Keyless() bool { return len(c.Keys) == 0 && len(c.AWS.AccessKeys) == 0 }

// AWS is about the AWS faces.
type AWS struct {
	Region             string      `yaml:"region" form:"region" required:"" doc:"region of requests that are not signed"`
	RecreateAtOnce     bool        `yaml:"recreate_at_once" doc:"a queue's name may be used again at once after its deletion, not only after 60 seconds as at AWS"`
	PurgeAtOnce        bool        `yaml:"purge_at_once" doc:"a queue may be purged again within 60 seconds, other than at AWS"`
	SigningKey         Secret      `yaml:"signing_key" form:"pem" doc:"RSA key (PEM) that SNS messages are signed with; empty for one the gateway makes and keeps"`
	SigningCertificate PEM         `yaml:"signing_certificate" form:"pem" doc:"certificate of signing_key, served to who verifies a message; earlier ones stay served"`
	AccessKeys         []AccessKey `yaml:"access_keys" doc:"access keys requests must be signed with"`
}

// AccessKey is what an AWS SDK signs its requests with.
type AccessKey struct {
	Name    string `yaml:"name" form:"name" required:"" doc:"name of the key in this configuration"`
	ID      string `yaml:"id" form:"access-key" required:"" doc:"access key id"`
	Secret  Secret `yaml:"secret" required:"" doc:"secret access key"`
	Account string `yaml:"account" form:"owner" required:"" doc:"account number (12 digits) whose queues and topics the key sees"`
}

func (k *AccessKey) defaults() { k.Account = "000000000000" }

// Default is the configuration without any file.
func Default() Config {
	return Config{
		Listen:       "127.0.0.1:8080",
		AdminListen:  "127.0.0.1:9090",
		Data:         "./data",
		DrainTimeout: 20 * time.Second,
		Log:          Log{Level: "info", Format: "json"},
		Store:        Store{Cache: 64 << 20, MemTable: 64 << 20, MinFree: 1 << 30, MaxUsed: 0.9},
		Limits:       Limits{Message: 1 << 20, Request: 2 << 20, Import: 1 << 30},
		Fanout:       Fanout{Matches: 64, Candidates: 1000, Chunk: 1000, Ahead: 5000},
		Ledger:       Ledger{Retention: 7 * 24 * time.Hour},
		Idempotency:  Idempotency{TTL: 24 * time.Hour},
		AWS:          AWS{Region: "us-east-1"},
	}
}
