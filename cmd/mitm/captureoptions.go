package main

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/mitm/capture"
)

// captureOptions are the flags that say what is captured, in which format, and where it
// goes. Each place has a capture of its own: what one of them loses, another has.
type captureOptions struct {
	config   capture.Config
	file     string
	dir      string
	rotation capture.Rotation
	rotated  string // the flag that says something about rotation, for an error
	serve    []string
	connect  []string
	over     capture.OverIP
}

func (o *captureOptions) define(f *pflag.FlagSet) {
	f.StringVarP(&o.file, "write", "w", "", "write what was decrypted to `FILE`; - is stdout")
	f.StringVarP(&o.dir, "output", "o", "", "write it to files in `DIR`, a new one each hour")
	add(f, "rotate", "TIME,SIZE", "with -o: begin a new file after a time, a size or both; or off (default 1h)", o.setRotate)
	add(f, "keep", "SIZE", "with -o: delete the oldest files when all have more than this, like 10GB", func(v string) (err error) {
		o.rotated = "--keep"
		o.rotation.Keep, err = capture.ParseSize(v)
		return err
	})
	add(f, "pcapoverip", "[IP:]PORT", "give it to all who connect here, on loopback without an IP (repeatable)", func(v string) error {
		addr, err := feedAddr(v)
		o.serve = append(o.serve, addr)
		return err
	})
	add(f, "pcapoveripconnect", "HOST:PORT", "connect there and give it to them, again and again (repeatable)", func(v string) error {
		addr, err := bridge.ParseAddr(v)
		if err != nil || addr.Port == 0 {
			return errors.New("want HOST:PORT, with a port from 1 to 65535")
		}
		o.connect = append(o.connect, addr.String())
		return nil
	})
	add(f, "slow-reader", "drop|throttle", "one over IP that does not keep up loses flows, or makes them wait (default drop)",
		oneOf(&o.over.Throttle, map[string]bool{"drop": false, "throttle": true}, "drop or throttle"))
	add(f, "autoflush", "SECONDS", "how long packets may wait to be written together; 0 is any time (default 1)", duration(&o.config.Autoflush))
	formatOptions(f, &o.config)
}

func (o *captureOptions) setRotate(v string) error {
	o.rotated = "--rotate"
	r, err := capture.ParseRotation(v)
	o.rotation.Every, o.rotation.Size = r.Every, r.Size
	return err
}

// feedAddr completes [IP:]PORT. What was decrypted is for this machine only, unless an
// address is named.
func feedAddr(v string) (string, error) {
	host, port := "127.0.0.1", v
	if _, err := strconv.ParseUint(v, 10, 16); err != nil {
		var split error
		host, port, split = net.SplitHostPort(v)
		if _, err := strconv.ParseUint(port, 10, 16); err != nil || split != nil || net.ParseIP(host) == nil {
			return "", errors.New("want [IP:]PORT")
		}
	}
	return net.JoinHostPort(host, port), nil
}

// captures are what is captured into.
type captures struct {
	observers []*bridge.Observer
	wires     []*capture.Wire
	closers   []io.Closer
	feeds     []net.Addr // where readers can connect
}

func (c *captures) add(o *bridge.Observer, w *capture.Wire, closer io.Closer) {
	c.observers = append(c.observers, o)
	c.wires = append(c.wires, w)
	c.closers = append(c.closers, closer)
}

// Close writes what is left and closes all.
func (c *captures) Close() error {
	var err error
	for _, closer := range c.closers {
		err = errors.Join(err, closer.Close())
	}
	return err
}

// announce says where readers can connect.
func (c *captures) announce(log *slog.Logger) {
	for _, addr := range c.feeds {
		log.Info("listening", "kind", "pcapoverip", "addr", addr.String())
	}
}

// open opens everything that is asked for. What it has opened is closed on an error.
func (o *captureOptions) open(stdout io.Writer, log *slog.Logger) (_ *captures, err error) {
	c := &captures{}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if err := o.check(); err != nil {
		return nil, err
	}
	config := o.config
	config.Log = log
	if o.file != "" {
		w, err := createCapture(o.file, stdout, config)
		if err != nil {
			return nil, usage("-w: %w", err)
		}
		c.add(w.Observer(), w.Wire(), w)
	}
	if o.dir != "" {
		w, err := capture.CreateIn(o.dir, o.rotation, config)
		if err != nil {
			return nil, usage("-o: %w", err)
		}
		c.add(w.Observer(), w.Wire(), w)
	}
	for _, addr := range o.serve {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, failed(err)
		}
		f := capture.Serve(l, o.over, config)
		c.add(f.Observer(), f.Wire(), f)
		c.feeds = append(c.feeds, l.Addr())
	}
	for _, addr := range o.connect {
		f := capture.Connect(addr, o.over, config)
		c.add(f.Observer(), f.Wire(), f)
	}
	return c, nil
}

// check refuses options that contradict each other.
func (o *captureOptions) check() error {
	if err := o.config.Validate(); err != nil {
		return usage("capture: %w", err)
	}
	if o.dir == "" && o.rotated != "" {
		return usage("%s: only the files of -o are rotated", o.rotated)
	}
	c := o.config
	shaped := c.Format != capture.PCAP || c.Views != nil || c.Cutoff != 0 || c.PortMap != nil || c.All
	if shaped && o.file == "" && o.dir == "" && len(o.serve)+len(o.connect) == 0 {
		return usage("--format, --views, --cutoff, --portmap and --writeall are about a capture: add -w, -o or --pcapoverip")
	}
	return nil
}

// createCapture opens the file of -w; "-" is stdout.
func createCapture(file string, stdout io.Writer, c capture.Config) (*capture.Writer, error) {
	if file == "-" {
		return capture.NewWriter(stdout, c)
	}
	return capture.Create(file, c)
}
