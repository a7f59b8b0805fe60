package demo

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// checkCapture reads the capture back: every stack's answer must be in it, in the
// clear, and nothing of TLS.
func (d *demo) checkCapture() error {
	payloads, err := readCapture(d.Capture)
	if err != nil {
		return err
	}
	all := bytes.Join(payloads, nil)
	for _, s := range d.tried {
		if !bytes.Contains(all, []byte(s.answer())) {
			return fmt.Errorf("the answer %q is not in it", s.answer())
		}
	}
	for _, p := range payloads {
		if len(p) > 2 && p[0] == 0x16 && p[1] == 0x03 {
			return errors.New("there is a TLS handshake in it")
		}
	}
	return nil
}

// readCapture returns the TCP payloads of a capture file.
func readCapture(file string) (payloads [][]byte, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		return nil, err
	}
	for {
		data, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return payloads, nil
		}
		if err != nil {
			return nil, err
		}
		packet := gopacket.NewPacket(data, r.LinkType(), gopacket.Default)
		if failure := packet.ErrorLayer(); failure != nil {
			return nil, failure.Error()
		}
		if tcp, ok := packet.Layer(layers.LayerTypeTCP).(*layers.TCP); ok && len(tcp.Payload) > 0 {
			payloads = append(payloads, tcp.Payload)
		}
	}
}
