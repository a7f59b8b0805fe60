package interop

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
)

// How a peer ends a connection, or does not.
const (
	fin   = "FIN"
	reset = "RST"
	stall = "nothing"
)

// A cut is what befalls one direction of a connection: after so many TLS records, and some
// bytes of the next one, it ends.
type cut struct {
	of      bridge.Side // who speaks in that direction
	records int
	bytes   int
	how     string
}

// uncut is a direction that ends as its peer ends it.
func uncut(of bridge.Side) cut { return cut{of: of, records: -1} }

func (c cut) String() string {
	return fmt.Sprintf("%s of the %s after %d records and %d bytes", c.how, c.of, c.records, c.bytes)
}

// A cutter is a relay on loopback that ends one direction of each connection before its
// time, and tells how the client has ended its own.
type cutter struct {
	net.Listener
	cut  cut
	dial func() (net.Conn, error)
	ends chan string // how the clients have ended; has room for all that a test makes

	mu    sync.Mutex
	conns []*net.TCPConn
	wg    sync.WaitGroup
}

func startCutter(t *testing.T, c cut, dial func() (net.Conn, error)) *cutter {
	t.Helper()
	k := &cutter{Listener: listen(t), cut: c, dial: dial, ends: make(chan string, 100)}
	k.wg.Go(k.serve)
	t.Cleanup(k.close)
	return k
}

func (k *cutter) port() string { return strings.TrimPrefix(k.Addr().String(), "127.0.0.1:") }

func (k *cutter) serve() {
	for {
		c, err := k.Accept()
		if err != nil {
			return
		}
		k.wg.Go(func() { k.handle(c.(*net.TCPConn)) })
	}
}

func (k *cutter) handle(client *net.TCPConn) {
	k.keep(client)
	c, err := k.dial()
	if err != nil {
		client.Close()
		return
	}
	server := c.(*net.TCPConn)
	k.keep(server)
	var both sync.WaitGroup
	both.Go(func() { k.ends <- k.pass(server, client, bridge.Client) })
	both.Go(func() { k.pass(client, server, bridge.Server) })
	both.Wait()
	client.Close()
	server.Close()
}

// keep makes sure that a connection ends with the test.
func (k *cutter) keep(c *net.TCPConn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.conns = append(k.conns, c)
}

func (k *cutter) close() {
	k.Close()
	k.mu.Lock()
	for _, c := range k.conns {
		c.Close()
	}
	k.mu.Unlock()
	k.wg.Wait()
}

// pass hands on one direction, and says how its speaker has ended it.
func (k *cutter) pass(to, from *net.TCPConn, speaker bridge.Side) string {
	r := bufio.NewReaderSize(from, 1<<15)
	if k.cut.of == speaker && k.cut.records >= 0 {
		if passRecords(to, r, k.cut.records, k.cut.bytes) == nil {
			endAs(to, k.cut.how)
			to = nil
		}
	}
	var err error
	if to == nil {
		_, err = io.Copy(io.Discard, r)
	} else {
		_, err = io.Copy(to, r)
	}
	how := fin
	if errors.Is(err, syscall.ECONNRESET) {
		how = reset
	}
	if to != nil {
		endAs(to, how)
	}
	return how
}

// passRecords hands on so many records, and some bytes of the next one.
func passRecords(to io.Writer, from *bufio.Reader, records, bytes int) error {
	for range records {
		header, err := from.Peek(5)
		if err != nil {
			return err
		}
		if _, err := io.CopyN(to, from, 5+int64(binary.BigEndian.Uint16(header[3:]))); err != nil {
			return err
		}
	}
	// Cut just before the next record, and not before it is there: what comes in the other
	// direction first is part of what has happened.
	if _, err := from.Peek(1); err != nil {
		return err
	}
	_, err := io.CopyN(to, from, int64(bytes))
	return err
}

func endAs(c *net.TCPConn, how string) {
	switch how {
	case fin:
		_ = c.CloseWrite()
	case reset:
		_ = c.SetLinger(0)
		c.Close()
	}
}
