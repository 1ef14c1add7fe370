// Command echo is a function behind API Gateway that returns the request.
package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"ecr-continuous-scan/internal/lambdahttp"
)

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", echo)
	mux.HandleFunc("/echo/{name}", echo)
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("on purpose") })
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 7<<20)) })
	mux.HandleFunc("/bytes", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte{0xff, 0xfe}) })
	mux.HandleFunc("/password", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("WWW-Authenticate", "Basic")
		w.Header().Add("Link", "</a>")
		w.Header().Add("Link", "</b>")
		w.WriteHeader(http.StatusUnauthorized)
	})
	mux.HandleFunc("/sleep", func(_ http.ResponseWriter, r *http.Request) { time.Sleep(time.Hour) })
	lambdahttp.Start(mux)
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	event, _ := lambdahttp.Event(r.Context())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"method": r.Method, "path": event.Path, "name": r.PathValue("name"), "query": r.URL.Query(), "body": string(body),
		"base": lambdahttp.BaseURL(r), "accept": r.Header["Accept"], "remote": r.RemoteAddr,
	})
}
