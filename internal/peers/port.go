package peers

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
)

// Ports for programs that cannot be asked which port they got. The range lies below
// the one that Linux takes ports of outgoing connections and of ":0" from, so only
// other reservations compete for them.
const (
	firstPort = 20000
	lastPort  = 32000
)

// ReservePort returns a TCP port that nothing listens on, and that no other caller
// of ReservePort, in this process or another, gets until release is called.
func ReservePort() (port int, release func(), err error) {
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		// A UDP socket on an address that nobody uses is the lock: it is exclusive
		// between processes, and the kernel releases it when its holder dies.
		lock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2), Port: port})
		if err != nil {
			continue
		}
		if probe, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			probe.Close()
			return port, func() { lock.Close() }, nil
		}
		lock.Close()
	}
	return 0, nil, errors.New("reserve port: a hundred were in use")
}

// listening reports whether somebody listens on each of the ports, in the network of a process.
func listening(pid int, ports []int) (bool, error) {
	wanted := map[int]bool{}
	for _, p := range ports {
		wanted[p] = true
	}
	for _, table := range []string{"tcp", "tcp6"} {
		name := fmt.Sprintf("/proc/%d/net/%s", pid, table)
		f, err := os.Open(name)
		if errors.Is(err, os.ErrNotExist) {
			continue // a kernel without IPv6, or a process that has ended
		}
		if err != nil {
			return false, err
		}
		err = listeners(f, func(port int) { delete(wanted, port) })
		f.Close()
		if err != nil {
			return false, fmt.Errorf("read %s: %w", name, err)
		}
	}
	return len(wanted) == 0, nil
}

// listeners calls f with the port of each listening socket of a table in the form
// of /proc/net/tcp: "sl local_address rem_address st ...", in hexadecimal.
func listeners(table io.Reader, f func(port int)) error {
	const listen = "0A" // TCP_LISTEN
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[3] != listen {
			continue
		}
		_, hex, _ := strings.Cut(fields[1], ":")
		port, err := strconv.ParseUint(hex, 16, 16)
		if err != nil {
			return err
		}
		f(int(port))
	}
	return lines.Err()
}
