package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/bridgeio/bridgeio/mitm/ca"
	"github.com/bridgeio/bridgeio/mitm/certpage"
)

// certHTTP is where the CA's certificate is served from; empty: nowhere.
type certHTTP string

func (c *certHTTP) define(f *pflag.FlagSet) {
	add(f, "certhttp", "[IP:]PORT", "a plain HTTP page with the CA certificate and how to install it; without IP on 127.0.0.1", func(v string) error {
		addr, err := autoAddr(v)
		addr = orLoopback(addr)
		if err == nil {
			err = checkIPPort(addr)
		}
		if err != nil {
			return errors.New("want [IP:]PORT")
		}
		*c = certHTTP(addr)
		return nil
	})
}

// checkIPPort refuses names, which would be resolved to some address, and ports that are none.
func checkIPPort(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	_, hostErr := netip.ParseAddr(host)
	_, portErr := strconv.ParseUint(port, 10, 16)
	return errors.Join(hostErr, portErr)
}

// serve serves the page until ctx ends or the function is called that it returns.
func (c certHTTP) serve(ctx context.Context, authority *ca.Authority, log *slog.Logger) (stop func(), err error) {
	if c == "" {
		return func() {}, nil
	}
	listener, err := net.Listen("tcp", string(c))
	if err != nil {
		return nil, failed(err)
	}
	log.Info("listening", "kind", "certhttp", "addr", listener.Addr().String())
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := certpage.Serve(ctx, listener, certpage.Handler(authority.Certificate())); err != nil {
			log.Error("the page with the CA certificate is gone", "error", err)
		}
	}()
	return func() {
		cancel()
		<-done
	}, nil
}
