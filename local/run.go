package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/internal/rescan"
)

// run is the command: it serves until ctx ends and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage): // said already
		return 2
	case err != nil:
		fmt.Fprintln(stderr, "local:", err)
		return 2
	}
	if err := serve(ctx, o, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "local:", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, o options, stdout, stderr io.Writer) error {
	log := slog.New(slog.NewTextHandler(stderr, nil))
	listener, err := listen(o.addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	back, err := openBackend(ctx, o, log)
	if err != nil {
		return err
	}
	defer back.close()

	base := "http://" + shownAddr(listener.Addr())
	api := &httpapi.API{
		Configs: back.configs, Reports: back.reader, Visits: rescan.Requests{Queue: back.queue, Log: log},
		BaseURL: baseURL(base), Access: httpapi.OpenAccess(), Now: time.Now, Log: log,
	}
	server := &http.Server{
		Handler:           logged(log, checkHost(o.addr, api.Handler(api.Routes()))),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	fmt.Fprint(stdout, welcome(o, base, back))

	var background sync.WaitGroup
	defer background.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	background.Go(func() { schedule(ctx, back.visitor, o.every, log) })
	background.Go(func() { back.queue.Run(ctx, visit(back.visitor)) })
	background.Go(func() {
		<-ctx.Done()
		shutdown, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer done()
		_ = server.Shutdown(shutdown) // requests that take longer are cut
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", base, err)
	}
	fmt.Fprintln(stdout, "Stopped.")
	return nil
}

func listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("port %s is taken by another program: end that one, or choose another port with -addr 127.0.0.1:8081", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("can't listen on %s: %w", addr, err)
	}
	return l, nil
}

// shownAddr is the address as one types it.
func shownAddr(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || !tcp.IP.IsLoopback() && !tcp.IP.IsUnspecified() {
		return a.String()
	}
	return fmt.Sprintf("localhost:%d", tcp.Port)
}

// baseURL is the address that the client used; checkHost has made sure that it is one of ours.
func baseURL(otherwise string) func(*http.Request) string {
	return func(r *http.Request) string {
		if r.Host == "" {
			return otherwise
		}
		return "http://" + r.Host
	}
}

// checkHost refuses requests for another host name. The API is open to everyone on this machine, and a web page could otherwise reach it
// from the user's browser under a name of its own that points here.
func checkHost(addr string, h http.Handler) http.Handler {
	own, _, _ := net.SplitHostPort(addr)
	open := net.ParseIP(own).IsUnspecified() || own == "" // served to the network on purpose
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		host = strings.Trim(host, "[]")
		if ip := net.ParseIP(host); host == "" || host == own || host == "localhost" || ip.IsLoopback() || open && ip != nil {
			h.ServeHTTP(w, r)
			return
		}
		http.Error(w, "This server answers to localhost only.", http.StatusMisdirectedRequest)
	})
}

// logged writes a line for each request.
func logged(log *slog.Logger, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(seen, r)
		log.InfoContext(r.Context(), "request", "method", r.Method, "path", r.URL.Path, "status", seen.status, "bytes", seen.bytes,
			"took", time.Since(began).Round(time.Millisecond))
	})
}

type statusWriter struct {
	http.ResponseWriter
	status, bytes int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.bytes += n
	return n, err
}
