package certpage

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// The bounds of a server that anybody on the network may use. The answers are some kilobytes, so that nobody who
// means well comes near them.
const (
	maxConns    = 64
	maxHeader   = 8 << 10
	headerTime  = 5 * time.Second
	requestTime = 10 * time.Second
	idleTime    = 30 * time.Second
	// goodbye is how long Serve waits for answers under way.
	goodbye = 2 * time.Second
)

// Serve serves the handler on the listener until ctx ends; then it waits up to two seconds for answers under way, and
// returns nil. The listener is closed in any case. It bounds connections, sizes and times.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler:           handler,
		MaxHeaderBytes:    maxHeader,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       requestTime,
		WriteTimeout:      requestTime,
		IdleTimeout:       idleTime,
		ErrorLog:          log.New(io.Discard, "", 0), // what clients do wrong
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		shutdown(context.WithoutCancel(ctx), server)
	})
	err := server.Serve(netutil.LimitListener(listener, maxConns))
	if !stop() {
		<-ended
	}
	server.Close() // of a listener that failed, the connections are left
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func shutdown(ctx context.Context, server *http.Server) {
	ctx, cancel := context.WithTimeout(ctx, goodbye)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		server.Close()
	}
}
