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
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/setup"
)

// run is the command. It serves until ctx is done and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage): // already printed
		return 2
	case err != nil:
		fmt.Fprintln(stderr, "local:", err)
		return 2
	case o.version:
		info, _ := debug.ReadBuildInfo() // nil if the build recorded none
		fmt.Fprintln(stdout, "ecr-continuous-scan", versionText(info))
		return 0
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
		Configs: back.configs, Suppressions: back.suppressions, SuppressionCounter: back.counter, Reports: back.reader, Visits: rescan.Requests{Queue: back.queue, Log: log},
		BaseURL: baseURL(base), Access: httpapi.OpenAccess(), Now: back.now, Log: log, Build: setup.Build(),
	}
	server := &http.Server{
		Handler:           logged(log, checkHost(o.addr, api.Handler(api.Routes()))),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	loops, err := back.loops(ctx, o, log, stdout)
	if err != nil {
		return err
	}
	fmt.Fprint(stdout, startMessage(o, base, back))

	var background sync.WaitGroup
	defer background.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, loop := range loops {
		background.Go(func() { loop(ctx) })
	}
	background.Go(func() { shutDownAfter(ctx, server) })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", base, err)
	}
	fmt.Fprintln(stdout, "Stopped.")
	return nil
}

func shutDownAfter(ctx context.Context, server *http.Server) {
	<-ctx.Done()
	shutdown, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	_ = server.Shutdown(shutdown) // requests that take longer are aborted
}

// loops returns what runs beside the API. With -demo it first plays the past.
func (b *backend) loops(ctx context.Context, o options, log *slog.Logger, stdout io.Writer) ([]func(context.Context), error) {
	if o.demo {
		play := player{b, log, stdout}
		return []func(context.Context){func(ctx context.Context) { play.present(ctx, o.demoDay) }}, play.past(ctx)
	}
	return []func(context.Context){
		func(ctx context.Context) { schedule(ctx, b.visitor, o.every, log) },
		func(ctx context.Context) { b.queue.Run(ctx, visit(b.visitor)) },
	}, nil
}

func listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("address %s is in use by another program: stop that program, or choose another port with -addr 127.0.0.1:8081", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", addr, err)
	}
	return l, nil
}

// shownAddr returns the address as a user types it.
func shownAddr(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || !tcp.IP.IsLoopback() && !tcp.IP.IsUnspecified() {
		return a.String()
	}
	return fmt.Sprintf("localhost:%d", tcp.Port)
}

// baseURL returns the address that the client used. checkHost has already refused all other host names.
func baseURL(otherwise string) func(*http.Request) string {
	return func(r *http.Request) string {
		if r.Host == "" {
			return otherwise
		}
		return "http://" + r.Host
	}
}

// checkHost refuses requests for another host name. The API is open to everyone on this machine. Without this
// check, a web page could reach it through the user's browser under a host name that resolves to this machine.
func checkHost(addr string, h http.Handler) http.Handler {
	own, _, _ := net.SplitHostPort(addr)
	open := net.ParseIP(own).IsUnspecified() || own == "" // the user serves the network on purpose
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
		http.Error(w, "This server only accepts requests for localhost.", http.StatusMisdirectedRequest)
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
