package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// script is some lines of a block that are one command.
type script struct {
	line int // of the README, from 1
	text string
}

// runReadme runs a README's blocks; the error names the line that failed.
func runReadme(t *testing.T, text string) error {
	t.Helper()
	scripts, err := blocks(text)
	if err != nil {
		return err
	}
	sh := newShell(t)
	for _, s := range scripts {
		run := sh.run
		if regexp.MustCompile(`(^|[\s/])fanfare\s+serve\b`).MatchString(s.text) {
			run = sh.serve
		}
		if err := run(s.text); err != nil {
			return fmt.Errorf("README, line %d: %s: %w", s.line, s.text, err)
		}
	}
	return sh.stop()
}

// blocks finds the commands of the blocks fenced as sh.
func blocks(text string) ([]script, error) {
	var all []script
	fence, open := "", script{} // info string of the block we are in
	inside := false
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSuffix(line, "\n")
		info, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && inside && open.text != "":
			return nil, fmt.Errorf("README, line %d: unfinished: %s", open.line, open.text)
		case isFence:
			fence, inside = info, !inside
			if inside && slices.Contains([]string{"bash", "shell", "console", "zsh"}, fence) {
				return nil, fmt.Errorf("README, line %d: fence it as sh, so that it is run", n)
			}
		case inside && fence == "sh":
			if open.text == "" {
				if strings.TrimSpace(line) == "" || line[0] == '#' {
					continue
				}
				open.line = n
			} else {
				open.text += "\n"
			}
			open.text += line
			if whole(open.text) {
				all = append(all, open)
				open = script{}
			}
		}
	}
	return all, nil
}

// whole tells whether a shell would begin to run these lines.
func whole(text string) bool {
	if here := regexp.MustCompile(`<<-?\s*['"]?(\w+)`).FindStringSubmatch(text); here != nil {
		return strings.HasSuffix(text, "\n"+here[1])
	}
	return !strings.HasSuffix(text, `\`) && exec.Command("sh", "-n", "-c", text).Run() == nil
}

// shell is the sh that runs a README's lines.
type shell struct {
	notes   string // folder
	in      io.Writer
	out     chan string // lines; closed when the shell ended
	serving bool
}

// readmeWait is how long a line may take.
const readmeWait = time.Minute

func newShell(t *testing.T) *shell {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	// The lines run in a folder like the module's, but what they make stays there.
	work, bin, notes := t.TempDir(), t.TempDir(), t.TempDir()
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			require.NoError(t, os.Symlink(filepath.Join(root, e.Name()), filepath.Join(work, e.Name())))
		}
	}
	for name := range commands {
		require.NoError(t, os.Symlink(self, filepath.Join(bin, name)))
	}
	for _, name := range []string{"cat", "date", "grep", "mkdir", "rm", "sed", "sleep"} { // POSIX has them
		path, err := exec.LookPath(name)
		require.NoError(t, err)
		require.NoError(t, os.Symlink(path, filepath.Join(bin, name)))
	}

	cmd := exec.Command("sh")
	cmd.Dir = work
	cmd.Env = []string{
		"PATH=" + bin, "HOME=" + work, "TMPDIR=" + notes, "FANFARE_LISTEN=127.0.0.1:0", "FANFARE_ADMIN_LISTEN=127.0.0.1:0",
		readmeFolder + "=" + notes, readmeRoot + "=" + root, readmeAPI + "=127.0.0.1:1", readmeAdmin + "=127.0.0.1:1",
		"FANFARE_STORE_MAX_USED=1",      // however full this disk is
		"GORACE=" + os.Getenv("GORACE"), // how long a process waits that ends under the race detector
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // to end all of it
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = cmd.Stdout
	require.NoError(t, cmd.Start())
	s := &shell{notes: notes, in: in, out: make(chan string)}
	read, stop := context.WithCancel(context.Background())
	go func() {
		defer close(s.out)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			select {
			case s.out <- lines.Text():
			case <-read.Done():
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // nothing is left if all went well
		stop()
		_ = cmd.Wait()
	})
	return s
}

// endOfLine precedes the exit status of a line.
const endOfLine = "this was the line, with status "

// run runs one command to its end.
func (s *shell) run(text string) error {
	fmt.Fprintf(s.in, "{ %s\n} </dev/null 2>&1\nprintf '\\n%s%%s\\n' $?\n", text, endOfLine)
	late := time.After(readmeWait)
	var said strings.Builder
	for {
		select {
		case line, more := <-s.out:
			status, end := strings.CutPrefix(line, endOfLine)
			switch {
			case !more:
				return fmt.Errorf("the shell ended: %s", &said)
			case !end:
				fmt.Fprintln(&said, line)
			case status != "0":
				return fmt.Errorf("exit status %s: %s", status, &said)
			default:
				return nil
			}
		case <-late:
			return fmt.Errorf("not done after %s: %s", readmeWait, &said)
		}
	}
}

// served is the gateway's address in the log of serve, JSON or text.
var served = regexp.MustCompile(`"?api"?[:=]"?http://([^"\s]+)"?.*"?admin"?[:=]"?http://([^"\s]+)`)

// serve runs a command in the background and returns when it is ready.
func (s *shell) serve(text string) error {
	if err := s.stop(); err != nil {
		return err
	}
	log := filepath.Join(s.notes, "log")
	if err := os.RemoveAll(log); err != nil {
		return err
	}
	fmt.Fprintf(s.in, "{ %s\n} </dev/null >%s 2>&1 &\nREADME_SERVE=$!\n", text, log)
	s.serving = true
	late := time.After(readmeWait)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		said, err := os.ReadFile(log)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if at := served.FindSubmatch(said); at != nil && ready(string(at[2])) {
			return s.run(fmt.Sprintf("export %s=%s %s=%s", readmeAPI, at[1], readmeAdmin, at[2]))
		}
		if _, err := os.Stat(filepath.Join(s.notes, "ended")); err == nil {
			return fmt.Errorf("%w: %s", s.run("wait $README_SERVE"), said)
		}
		select {
		case <-tick.C:
		case <-late:
			return fmt.Errorf("not ready after %s: %s", readmeWait, said)
		}
	}
}

func ready(admin string) bool {
	res, err := http.Get("http://" + admin + "/readyz")
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// stop ends what serves as an operator would; that must succeed too.
func (s *shell) stop() error {
	if !s.serving {
		return nil
	}
	s.serving = false
	text, err := os.ReadFile(filepath.Join(s.notes, "pid"))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	if err := s.run("wait $README_SERVE"); err != nil {
		return fmt.Errorf("serve, asked to end: %w", err)
	}
	return os.Remove(filepath.Join(s.notes, "ended"))
}
