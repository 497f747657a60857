package sandbox

import (
	"encoding/json"
	"net"
	"net/http"
)

// startControl serves the control API.
func (s *Server) startControl(addr string) error {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s.URL = "http://" + l.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /inbox", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, s.Inbox(r.FormValue("provider"), r.FormValue("recipient")))
	})
	mux.HandleFunc("GET /requests", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, s.Requests(r.FormValue("provider"), r.FormValue("recipient")))
	})
	mux.HandleFunc("POST /script", s.handleScript)
	s.closers = append(s.closers, serveHTTP(l, mux))
	return nil
}

func (s *Server) handleScript(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Provider  string   `json:"provider"`
		Recipient string   `json:"recipient"`
		Answers   []Answer `json:"answers"`
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil || in.Provider == "" || in.Recipient == "" {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "want {provider, recipient, answers: [{status, code, ...}]}"})
		return
	}
	s.Script(in.Provider, in.Recipient, in.Answers...)
	w.WriteHeader(http.StatusNoContent)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client went away: nobody to tell
}
