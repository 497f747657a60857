package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Environment of the commands in README's blocks.
const (
	readmeFolder = "README_FOLDER" // of the notes about what serves
	readmeRoot   = "README_ROOT"   // the module
	readmeAPI    = "README_API"    // what stands for localhost:8080
	readmeAdmin  = "README_ADMIN"  // what stands for localhost:9090
)

// commands are what this test binary does when it is called by one of the names.
var commands = map[string]func(args []string) int{"fanfare": fanfareCommand, "go": goCommand, "curl": curlCommand}

// playCommand ends the process if it was called as one of the commands.
func playCommand() {
	if command := commands[filepath.Base(os.Args[0])]; command != nil {
		http.DefaultTransport.(*http.Transport).DialContext = dialReadme
		os.Exit(command(os.Args[1:]))
	}
}

// fanfareCommand is the command, which leaves notes if it serves.
func fanfareCommand(args []string) int {
	notes := os.Getenv(readmeFolder)
	if notes == "" || len(args) == 0 || args[0] != "serve" {
		return run(args, os.Stdout, os.Stderr)
	}
	note := func(name, text string) {
		if err := os.WriteFile(filepath.Join(notes, name), []byte(text), 0o600); err != nil {
			panic(err)
		}
	}
	note("pid", strconv.Itoa(os.Getpid()))
	code := run(args, os.Stdout, os.Stderr)
	note("ended", "")
	return code
}

// goCommand runs fanfare, makes it runnable under a name, or trusts in what CI
// runs word by word: tests inside of tests would not end.
func goCommand(args []string) int {
	switch text := strings.Join(args, " "); {
	case strings.HasPrefix(text+" ", "run ./cmd/fanfare "):
		return fanfareCommand(args[2:])
	case text == "install ./cmd/fanfare": // it is in the PATH
		return 0
	case len(args) == 4 && args[0] == "build" && args[1] == "-o" && args[3] == "./cmd/fanfare":
		self, err := os.Executable()
		if err == nil {
			err = os.Symlink(self, args[2])
		}
		if err == nil {
			return 0
		}
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	case inCI(os.Getenv(readmeRoot), "go "+text):
		return 0
	default:
		fmt.Fprintf(os.Stderr, "go %s: neither runs fanfare nor is it in .ci/run\n", text)
		return 127
	}
}

// inCI tells whether CI runs a command as it stands.
func inCI(root, command string) bool {
	text, err := os.ReadFile(filepath.Join(root, ".ci", "run"))
	return err == nil && regexp.MustCompile(`(?m)^stage \w+ `+regexp.QuoteMeta(command)+`( #.*)?$`).Match(text)
}

// dialReadme connects to what serves instead of the default ports.
func dialReadme(ctx context.Context, network, address string) (net.Conn, error) {
	for port, instead := range map[string]string{"8080": os.Getenv(readmeAPI), "9090": os.Getenv(readmeAdmin)} {
		if instead != "" && (address == "localhost:"+port || address == "127.0.0.1:"+port) {
			address = instead
		}
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// curlCommand is as much of curl as a README needs. Unlike curl it fails when
// the answer is no success, as if -f were given.
func curlCommand(args []string) int {
	fail := func(code int, err error) int {
		fmt.Fprintln(os.Stderr, "curl:", err)
		return code
	}
	r, err := curlRequest(args)
	if err != nil {
		return fail(2, err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return fail(7, err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(os.Stdout, res.Body); err != nil {
		return fail(18, err)
	}
	if res.StatusCode >= http.StatusBadRequest {
		return fail(22, errors.New(res.Status))
	}
	return 0
}

func curlRequest(args []string) (*http.Request, error) {
	method, url, header := "", "", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	var body io.Reader
	for len(args) > 0 {
		flag := args[0]
		args = args[1:]
		switch flag {
		case "-s", "-S", "-sS", "-f", "-sf", "-fsS", "-sSf", "-N":
			continue
		case "-H", "-d", "--data-binary", "-X":
		default:
			if strings.HasPrefix(flag, "-") || url != "" {
				return nil, fmt.Errorf("%s: this test's curl knows -s -S -f -N -H -X -d --data-binary and one URL", flag)
			}
			if url = flag; !strings.Contains(url, "://") {
				url = "http://" + url
			}
			continue
		}
		if len(args) == 0 {
			return nil, fmt.Errorf("%s: needs a value", flag)
		}
		value := args[0]
		args = args[1:]
		switch flag {
		case "-X":
			method = value
		case "-H":
			name, text, _ := strings.Cut(value, ":")
			header.Set(name, strings.TrimSpace(text))
		default:
			text, err := curlData(value)
			if err != nil {
				return nil, err
			}
			body = bytes.NewReader(text)
		}
	}
	if method == "" && body != nil {
		method = http.MethodPost
	}
	r, err := http.NewRequest(method, url, body)
	if err == nil {
		r.Header = header
	}
	return r, err
}

// curlData is the value of -d: text, a file (@name) or standard input (@-).
func curlData(value string) ([]byte, error) {
	switch name, file := strings.CutPrefix(value, "@"); {
	case !file:
		return []byte(value), nil
	case name == "-":
		return io.ReadAll(os.Stdin)
	default:
		return os.ReadFile(name)
	}
}
