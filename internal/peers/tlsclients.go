package peers

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

// A TLSTarget is the server that a client is to make a TLS connection with.
type TLSTarget struct {
	Addr string   // host:port to connect to
	Name string   // the server's name: what is sent, and what its certificate must have
	ALPN []string // what is offered; none: the extension is not sent
	Root string   // file with the certificate to trust, and no other
}

// A Tunnel is a started program that makes a TLS connection for each connection to its
// port, and hands the bytes on in both directions: a foreign TLS stack as a net.Conn,
// without the price of a process for each.
//
// The first line from us names the target, the first line to us says how the handshake
// went.
type Tunnel struct{ port int }

// NodeTunnel, PythonTunnel and JavaTunnel are the TLS stacks of these languages, as
// programs for [NewTunnel] to talk to.
func NodeTunnel(port int) Program {
	return tunnel(port, "node", "tunnel.js", nodeTunnel)
}

// PythonTunnel is Python's ssl module.
func PythonTunnel(port int) Program {
	return tunnel(port, "/usr/bin/python3", "tunnel.py", pythonTunnel)
}

// JavaTunnel is Java's JSSE.
func JavaTunnel(port int) Program {
	return tunnel(port, "java", "Tunnel.java", javaTunnel)
}

func tunnel(port int, name, file, text string) Program {
	return Program{
		Name:  name,
		Args:  []string{Here + "/" + file, strconv.Itoa(port)},
		Files: map[string]string{file: text},
		Ports: []int{port},
	}
}

// NewTunnel is the program that was started with this port.
func NewTunnel(port int) Tunnel { return Tunnel{port} }

// Dial makes a TLS connection to the target. A failed handshake is an error with the
// program's words. The caller closes the connection.
func (u Tunnel) Dial(ctx context.Context, t TLSTarget) (net.Conn, error) {
	host, port, err := net.SplitHostPort(t.Addr)
	if err != nil {
		return nil, err
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(u.port)))
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if err := ask(c, host, port, t.Name, strings.Join(t.ALPN, ","), t.Root); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// ask sends the words of a target, and reads the answer byte by byte, because what
// follows it belongs to the server.
func ask(c net.Conn, words ...string) error {
	if _, err := fmt.Fprintln(c, strings.Join(words, "\t")); err != nil {
		return err
	}
	answer, err := bufio.NewReaderSize(oneByte{c}, 16).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read answer of tunnel: %w", err)
	}
	if answer != "ok\n" {
		return fmt.Errorf("handshake: %s", strings.TrimSpace(answer))
	}
	return nil
}

type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), 1)]) }

const nodeTunnel = `
const fs = require("fs"), net = require("net"), tls = require("tls");
net.createServer(local => {
	let line = "";
	const first = chunk => {
		line += chunk;
		if (!line.endsWith("\n")) return;
		local.off("data", first).pause();
		const [host, port, servername, alpn, root] = line.trimEnd().split("\t");
		const options = {host, port, servername, ca: fs.readFileSync(root)};
		if (alpn) options.ALPNProtocols = alpn.split(",");
		let made = false;
		const remote = tls.connect(options, () => {
			made = true;
			local.write("ok\n");
			local.pipe(remote).pipe(local);
		});
		remote.on("error", e => made ? local.destroy() : local.end(String(e).split("\n")[0] + "\n"));
		local.on("close", () => remote.end());
	};
	local.on("data", first).on("error", () => {});
}).listen(process.argv[2], "127.0.0.1");
`

const pythonTunnel = `
import asyncio, ssl, sys

async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()

async def serve(reader, writer):
    line = (await reader.readline()).decode().rstrip("\n")
    host, port, name, alpn, root = line.split("\t")
    context = ssl.create_default_context(cafile=root)
    if alpn:
        context.set_alpn_protocols(alpn.split(","))
    try:
        above, below = await asyncio.open_connection(host, int(port), ssl=context, server_hostname=name)
    except Exception as e:
        writer.write((repr(e) + "\n").encode())
        writer.close()
        return
    writer.write(b"ok\n")
    await asyncio.gather(copy(reader, below), copy(above, writer))

async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1])) as server:
        await server.serve_forever()

asyncio.run(main())
`

// A name without a dot is none for Java's server_name, unless it is set as one.
const javaTunnel = `
import java.io.*;
import java.net.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.List;
import javax.net.ssl.*;

public class Tunnel {
	public static void main(String[] args) throws Exception {
		try (var listener = new ServerSocket(Integer.parseInt(args[0]), 50, InetAddress.getByName("127.0.0.1"))) {
			for (;;) {
				var local = listener.accept();
				new Thread(() -> serve(local)).start();
			}
		}
	}

	static void serve(Socket local) {
		try (local) {
			var in = local.getInputStream();
			var out = local.getOutputStream();
			var line = new ByteArrayOutputStream();
			for (int b; (b = in.read()) != '\n' && b >= 0; ) line.write(b);
			try (var remote = connect(line.toString(StandardCharsets.UTF_8).split("\t", -1))) {
				out.write("ok\n".getBytes());
				var up = new Thread(() -> copy(in, remote, remote));
				up.start();
				copy(remote.getInputStream(), local, remote);
				up.join();
			} catch (GeneralFailure e) {
				out.write((e.getCause().toString().split("\n")[0] + "\n").getBytes());
			}
		} catch (IOException | InterruptedException e) {
			// one of the two peers left
		}
	}

	static class GeneralFailure extends RuntimeException {
		GeneralFailure(Exception e) { super(e); }
	}

	static SSLSocket connect(String[] target) {
		try {
			var store = KeyStore.getInstance("PKCS12");
			store.load(null, null);
			try (var pem = Files.newInputStream(Path.of(target[4]))) {
				store.setCertificateEntry("root", CertificateFactory.getInstance("X.509").generateCertificate(pem));
			}
			var trust = TrustManagerFactory.getInstance("PKIX");
			trust.init(store);
			var context = SSLContext.getInstance("TLS");
			context.init(null, trust.getTrustManagers(), null);
			var plain = new Socket(target[0], Integer.parseInt(target[1]));
			var socket = (SSLSocket) context.getSocketFactory().createSocket(plain, target[2], plain.getPort(), true);
			var parameters = socket.getSSLParameters();
			parameters.setServerNames(List.of(new SNIHostName(target[2])));
			parameters.setEndpointIdentificationAlgorithm("HTTPS");
			if (!target[3].isEmpty()) parameters.setApplicationProtocols(target[3].split(","));
			socket.setSSLParameters(parameters);
			socket.startHandshake();
			return socket;
		} catch (Exception e) {
			throw new GeneralFailure(e);
		}
	}

	// Ends with either side, and then ends the other.
	static void copy(InputStream from, Socket to, Socket remote) {
		try (to; remote) {
			from.transferTo(to.getOutputStream());
		} catch (IOException e) {
			// closed
		}
	}
}
`

// A Pipe is a started client that hands its stdin to a server and the server's bytes to
// its stdout, as s_client does.
type Pipe struct {
	io.Writer // its stdin
	io.Reader // its stdout

	stdin  io.Closer
	cmd    *exec.Cmd
	stderr *buffer
	once   sync.Once
	err    error
}

// StartPipe starts such a client. It is killed when ctx ends.
func StartPipe(ctx context.Context, name string, args ...string) (*Pipe, error) {
	file, err := find(name)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, file, args...)
	p := &Pipe{cmd: cmd, stderr: new(buffer)}
	cmd.Env = environ(os.Environ())
	cmd.SysProcAttr = attributes(false)
	cmd.Stderr = p.stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.Writer, p.Reader, p.stdin = stdin, stdout, stdin
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// Close ends the client's input, waits for its end, and returns what it complained of if
// that was a bad one. What it still had to say is lost.
func (p *Pipe) Close() error {
	p.once.Do(func() {
		p.stdin.Close()
		io.Copy(io.Discard, p.Reader)
		if err := p.cmd.Wait(); err != nil {
			said := bytes.TrimSpace([]byte(p.stderr.String()))
			p.err = fmt.Errorf("%s: %w: %s", p.cmd.Args[0], err, said)
		}
	})
	return p.err
}
