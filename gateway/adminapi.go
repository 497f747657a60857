package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"mime"
	"net/http"
	"path/filepath"

	"github.com/fanfare-gateway/fanfare/gateway/rest"
)

// ownJSON lets in requests of this machine itself with a JSON body: no web page
// can make a browser send one without asking first.
func ownJSON(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if why := rest.Foreign(r); why != "" {
			refuse(w, http.StatusForbidden, "Only this machine is served: "+why+".")
			return
		}
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
			refuse(w, http.StatusUnsupportedMediaType, "The body must be sent as application/json.")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		next.ServeHTTP(w, r)
	})
}

// backupHandler writes a backup to the folder that is named.
func backupHandler(store interface{ Backup(dir string) error }) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Dir string `json:"dir"`
		}
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil || !filepath.IsAbs(in.Dir) {
			refuse(w, http.StatusUnprocessableEntity, `The body must be {"dir": "/a/folder"}, an absolute path that does not exist.`)
			return
		}
		c, err := backup(store, filepath.Clean(in.Dir))
		if err != nil {
			status := http.StatusInternalServerError
			if errors.Is(err, fs.ErrExist) {
				status = http.StatusConflict
			}
			refuse(w, status, err.Error())
			return
		}
		answer(w, c)
	})
}

// releaser queues again what was held when a backup was restored.
type releaser interface {
	ReleaseRestored(ctx context.Context) (int, error)
}

func releaseHandler(t releaser) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := t.ReleaseRestored(r.Context())
		if err != nil {
			refuse(w, http.StatusInternalServerError, err.Error())
			return
		}
		answer(w, map[string]int{"released": n})
	})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

func refuse(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(rest.Problem{Title: http.StatusText(status), Status: status, Detail: detail}) // the client may be gone
}
