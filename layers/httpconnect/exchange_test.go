package httpconnect_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/httpconnect"
)

var (
	past       = time.Unix(1, 0)
	noDeadline time.Time
	open       httpconnect.Config
)

// getFrom is a request for another server.
func getFrom(host string) string { return strings.ReplaceAll(get, "a.example", host) }

func TestRequestsOneAfterTheOther(t *testing.T) {
	onStage(t, open, func(s *stage) {
		s.asks(get + get)
		s.dials("a.example:80")
		s.hears(getAs)
		s.serverHearsNothing() // before the first response has ended
		s.answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
		s.serverHearsNothing()
		s.answers("k")
		s.gets(ok)
		s.hears(getAs)
		s.answers(ok)
		s.gets(ok)
		s.asks("\r\n" + get)
		s.hears(getAs)
		s.answers("HTTP/1.1 204 \r\n\r\n")
		s.gets("HTTP/1.1 204 \r\n\r\n")
		s.asks("\r\n")
		s.client.CloseWrite()
		s.serverIsLeft()
		s.server.Close()
		s.clientIsLeft()
		s.flows("http a.example:80 eof client")
	})
}

func TestRequestsForTwoServersAreTwoFlows(t *testing.T) {
	onStage(t, open, func(s *stage) {
		s.asks(get)
		s.dials("a.example:80")
		s.hears(getAs)
		s.answers(ok)
		s.gets(ok)
		s.asks(getFrom("b.example:8080"))
		s.serverIsLeft()
		s.dials("b.example:8080")
		s.hears("GET /b HTTP/1.1\r\nHost: b.example:8080\r\n\r\n")
		s.answers(ok)
		s.gets(ok)
		s.asks(ask + "hello")
		s.serverIsLeft()
		s.dials("a.example:443")
		s.gets(grant)
		s.hears("hello")
		s.server.Close()
		s.clientIsLeft()
		s.client.Close()
		s.flows("http a.example:80 eof mitm", "http b.example:8080 eof mitm", "connect>inside a.example:443 eof server")
	})
}

func TestObserverSeesRequestsAsTheServerDoes(t *testing.T) {
	onStage(t, open, func(s *stage) {
		s.asks(get)
		s.dials("a.example:80")
		s.hears(getAs)
		s.answers(ok)
		s.gets(ok)
		s.asks(post + length4 + "abcd")
		s.hears(postAs + length4 + "abcd")
		s.answers(ok)
		s.gets(ok)
		s.client.Close()
		s.ends()
		if got, want := s.tapped[bridge.Client].String(), getAs+postAs+length4+"abcd"; got != want {
			t.Errorf("from the client the observer saw %q, want %q", got, want)
		}
		if got := s.tapped[bridge.Server].String(); got != ok+ok {
			t.Errorf("from the server the observer saw %q, want %q", got, ok+ok)
		}
	})
}

func TestServerThatClosesBetweenRequestsIsDialledAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		closes func(*stage)
	}{
		{"in order", func(s *stage) { s.server.Close() }},
		{"with a reset", func(s *stage) { s.server.Reset() }},
		{"with a last word", func(s *stage) { s.answers("HTTP/1.1 408 Request Timeout\r\n\r\n"); s.server.Close() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, open, func(s *stage) {
				s.asks(get)
				s.dials("a.example:80")
				s.hears(getAs)
				s.answers(ok)
				s.gets(ok)
				c.closes(s)
				s.dialsNothing()
				s.asks(post + length4 + "abcd")
				s.dials("a.example:80")
				s.hears(postAs + length4 + "abcd")
				s.answers(ok)
				s.gets(ok)
				s.client.CloseWrite()
				s.serverIsLeft()
				s.server.Close()
				s.flows("http a.example:80 eof mitm", "http a.example:80 eof client")
			})
		})
	}
}

func TestRequestThatMeetsAClosingServer(t *testing.T) {
	meets := func(s *stage, request, heard string) {
		s.asks(get)
		s.dials("a.example:80")
		s.hears(getAs)
		s.answers(ok)
		s.gets(ok)
		s.asks(request)
		s.hears(heard)
		s.server.Close()
	}
	t.Run("is sent again without effect", func(t *testing.T) {
		onStage(t, open, func(s *stage) {
			meets(s, get, getAs)
			s.dials("a.example:80")
			s.hears(getAs)
			s.answers(ok)
			s.gets(ok)
		})
	})
	t.Run("is sent again only once", func(t *testing.T) {
		onStage(t, open, func(s *stage) {
			meets(s, get, getAs)
			s.dials("a.example:80")
			s.hears(getAs)
			s.server.Close()
			s.gets(ours(502, "The server closed the connection before it answered."))
			s.clientIsLeft()
			s.dialsNothing()
		})
	})
	t.Run("is not sent again with an effect", func(t *testing.T) {
		onStage(t, open, func(s *stage) {
			request := "Content-Length: 0\r\n\r\n"
			meets(s, post+request, postAs+request)
			s.gets(ours(502, "The server closed the connection before it answered."))
			s.clientIsLeft()
			s.dialsNothing()
			s.client.Close()
			s.endsFor(bridge.PeerClosed, bridge.ByServer)
		})
	})
}

func TestContentIsAskedFor(t *testing.T) {
	const expect = "Expect: 100-continue\r\n"
	request := func(s *stage) {
		s.asks(post + expect + length4)
		s.dials("a.example:80")
		s.hears(postAs + expect + length4)
	}
	t.Run("and sent", func(t *testing.T) {
		onStage(t, open, func(s *stage) {
			request(s)
			s.answers("HTTP/1.1 100 Continue\r\n\r\n")
			s.gets("HTTP/1.1 100 Continue\r\n\r\n")
			s.asks("abcd")
			s.hears("abcd")
			s.answers(ok)
			s.gets(ok)
			s.asks(get)
			s.hears(getAs)
		})
	})
	t.Run("or not, and what comes next is not known", func(t *testing.T) {
		onStage(t, open, func(s *stage) {
			request(s)
			s.answers("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
			s.gets("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
			s.clientIsLeft()
			s.serverIsLeft()
		})
	})
}

func TestAnswerBeforeTheRequestHasEnded(t *testing.T) {
	request := func(s *stage) {
		s.asks(post + length4 + "ab")
		s.dials("a.example:80")
		s.hears(postAs + length4 + "ab")
		s.answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
		s.gets("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
		s.asks("c")
		s.hears("c")
		s.answers("k")
		s.gets("k")
	}
	t.Run("the rest of it is still taken", func(t *testing.T) {
		onStage(t, open, func(s *stage) {
			request(s)
			s.asks("d" + get)
			s.hears("d" + getAs)
			s.answers(ok)
			s.gets(ok)
		})
	})
	t.Run("the client closes instead", func(t *testing.T) {
		onStage(t, open, func(s *stage) {
			request(s)
			s.client.Close()
			s.serverIsLeft()
			s.endsFor(bridge.PeerClosed, bridge.ByClient)
		})
	})
	t.Run("the server closes", func(t *testing.T) {
		onStage(t, open, func(s *stage) {
			s.asks(post + "Content-Length: 100000\r\n\r\nab")
			s.dials("a.example:80")
			s.hears(postAs + "Content-Length: 100000\r\n\r\nab")
			s.answers("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			s.server.Close()
			s.gets("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			s.clientIsLeft()
		})
	})
	t.Run("the server takes no more", func(t *testing.T) {
		onStage(t, open, func(s *stage) {
			s.asks(post + "Content-Length: 100000\r\n\r\nab")
			s.dials("a.example:80")
			s.hears(postAs + "Content-Length: 100000\r\n\r\nab")
			go s.client.Write(make([]byte, 99998)) // which blocks: the server does not read
			s.answers("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			s.gets("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			s.ends()
		})
	})
}

func TestUpgrade(t *testing.T) {
	const (
		request  = "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: x\r\n"
		asServer = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: x\r\n"
		switches = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
	)
	t.Run("is a tunnel", func(t *testing.T) {
		onStage(t, open, func(s *stage) {
			s.asks(request + "\r\n")
			s.dials("a.example:80")
			s.hears(asServer + "\r\n")
			s.answers(switches + "first")
			s.gets(switches + "first")
			s.asks("GET http://b.example/ HTTP/1.1\r\n\r\n")
			s.hears("GET http://b.example/ HTTP/1.1\r\n\r\n")
			s.server.CloseWrite()
			s.clientIsLeft()
			s.asks("last")
			s.client.CloseWrite()
			s.hears("last")
			s.serverIsLeft()
			s.flows("http a.example:80 eof server")
		})
	})
	t.Run("waits for the content", func(t *testing.T) {
		onStage(t, open, func(s *stage) {
			s.asks(request + length4 + "ab")
			s.dials("a.example:80")
			s.hears(asServer + length4 + "ab")
			s.answers(switches)
			s.asks("cd")
			s.gets(switches)
			s.hears("cd")
		})
	})
	t.Run("may be declined", func(t *testing.T) {
		onStage(t, open, func(s *stage) {
			s.asks(request + "\r\n" + get)
			s.dials("a.example:80")
			s.hears(asServer + "\r\n")
			s.answers(ok)
			s.gets(ok)
			s.hears(getAs)
		})
	})
	t.Run("comes only where it was asked for", func(t *testing.T) {
		onStage(t, open, func(s *stage) {
			s.asks(get + "smuggled")
			s.dials("a.example:80")
			s.hears(getAs)
			s.answers(switches)
			s.gets(ours(502, "The server switches protocols and was not asked to."))
			s.clientIsLeft()
			s.serverIsLeft()
		})
	})
}

func TestResponsesThatAreNotPassedOn(t *testing.T) {
	const ambiguous, malformed = "The end of the server's response is ambiguous.", "The server's response is malformed."
	for _, c := range []struct{ name, response, line string }{
		{"a length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ambiguous},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!", ambiguous},
		{"chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ambiguous},
		{"a folded field", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n", malformed},
		{"a blank before a colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", malformed},
		{"CR without LF", "HTTP/1.1 200 OK\r\nA: b\rContent-Length: 0\r\n\r\n", malformed},
		{"another protocol", "SSH-2.0-x\r\n", malformed},
		{"a head without end", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 70<<10), malformed},
		{"another version", "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n", "The server's response is of an unknown version."},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, open, func(s *stage) {
				s.asks(get)
				s.dials("a.example:80")
				s.hears(getAs)
				go s.server.Write([]byte(c.response)) // of which not all may be read
				s.gets(ours(502, c.line))
				s.clientIsLeft()
				s.client.Close()
				s.endsFor(bridge.Desynced, bridge.ByMITM)
			})
		})
	}
	t.Run("nor interim ones without end", func(t *testing.T) {
		const early = "HTTP/1.1 103 Early Hints\r\n\r\n"
		onStage(t, open, func(s *stage) {
			s.asks(get)
			s.dials("a.example:80")
			s.answers(strings.Repeat(early, 16))
			s.gets(strings.Repeat(early, 16) + ours(502, "The server does not come to its response."))
		})
	})
}

func TestResponseThatIsCutOff(t *testing.T) {
	for _, c := range []struct{ name, response string }{
		{"before its length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"},
		{"between chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, open, func(s *stage) {
				s.asks(get)
				s.dials("a.example:80")
				s.hears(getAs)
				s.answers(c.response)
				s.gets(c.response)
				s.server.Close()
				s.clientIsLeft()
				s.client.Close()
				s.endsFor(bridge.PeerClosed, bridge.ByServer)
			})
		})
	}
	t.Run("by chunks that are malformed", func(t *testing.T) {
		const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		onStage(t, open, func(s *stage) {
			s.asks(get)
			s.dials("a.example:80")
			s.hears(getAs)
			s.answers(head)
			s.gets(head)
			s.answers("x\r\n")
			s.clientIsLeft()
			s.client.Close()
			s.endsFor(bridge.Desynced, bridge.ByServer)
		})
	})
	t.Run("by a reset, which the client gets, too", func(t *testing.T) {
		onStage(t, open, func(s *stage) {
			s.asks(get)
			s.dials("a.example:80")
			s.hears(getAs)
			s.answers("HTTP/1.1 200 OK\r\n\r\nabc")
			s.gets("HTTP/1.1 200 OK\r\n\r\nabc")
			s.server.Reset()
			s.clientIsReset()
			s.endsFor(bridge.Resets, bridge.ByServer)
		})
	})
}

func TestContentThatIsMalformedDoesNotEnd(t *testing.T) {
	onStage(t, open, func(s *stage) {
		s.asks(post + chunked + "1\r\na\r\n")
		s.dials("a.example:80")
		s.hears(postAs + chunked + "1\r\na\r\n")
		s.asks("0\r\nContent-Length: 3\r\n\r\n")
		s.gets(ours(400, "The content of the request is malformed: trailer-section."))
		s.clientIsLeft()
		s.client.Close()
		s.endsFor(bridge.Desynced, bridge.ByMITM)
	})
}

func TestInterimResponseIsNotForHTTP10(t *testing.T) {
	onStage(t, open, func(s *stage) {
		s.asks("GET http://a.example/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
		s.dials("a.example:80")
		s.hears("GET / HTTP/1.0\r\nHost: a.example\r\n\r\n")
		s.answers("HTTP/1.1 103 Early Hints\r\n\r\n" + ok)
		s.gets(ok)
		s.clientIsLeft()
	})
}

func TestClientThatHalfClosesGetsItsResponses(t *testing.T) {
	onStage(t, open, func(s *stage) {
		s.asks(get + get)
		s.client.CloseWrite()
		s.dials("a.example:80")
		s.hears(getAs)
		s.answers(ok)
		s.gets(ok)
		s.hears(getAs)
		s.serverIsLeft()
		s.answers(ok)
		s.gets(ok)
		s.server.Close()
		s.clientIsLeft()
	})
}

func TestClientThatResets(t *testing.T) {
	onStage(t, open, func(s *stage) {
		s.asks(get)
		s.dials("a.example:80")
		s.hears(getAs)
		s.client.Reset()
		s.endsFor(bridge.Resets, bridge.ByClient)
	})
}

func TestWhatTakesTooLong(t *testing.T) {
	t.Run("a first request", func(t *testing.T) {
		onStage(t, open, func(s *stage) {
			s.clientIsLeft()
			s.client.Close()
			s.endsFor(bridge.Timeout, bridge.ByMITM)
		})
	})
	t.Run("the rest of a head", func(t *testing.T) {
		onStage(t, open, func(s *stage) {
			s.asks("GET http://a.example/ HTTP/1.1\r\n")
			s.gets(ours(408, "The head of the request took too long."))
			s.clientIsLeft()
			s.client.Close()
			s.endsFor(bridge.Timeout, bridge.ByMITM)
		})
	})
	t.Run("a further request", func(t *testing.T) {
		onStage(t, open, func(s *stage) {
			s.asks(get)
			s.dials("a.example:80")
			s.hears(getAs)
			s.answers(ok)
			s.gets(ok)
			s.clientIsLeft()
			s.client.Close()
			s.endsFor(bridge.Idle, bridge.ByMITM)
		})
	})
	t.Run("a response", func(t *testing.T) {
		onStage(t, open, func(s *stage) {
			s.asks(get)
			s.dials("a.example:80")
			s.hears(getAs)
			s.gets(ours(504, "The server does not answer."))
			s.clientIsLeft()
			s.client.Close()
			s.endsFor(bridge.Timeout, bridge.ByMITM)
		})
	})
	t.Run("the rest of a response", func(t *testing.T) {
		onStage(t, open, func(s *stage) {
			s.asks(get)
			s.dials("a.example:80")
			s.hears(getAs)
			s.answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
			s.gets("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
			s.clientIsLeft()
			s.client.Close()
			s.endsFor(bridge.Idle, bridge.ByMITM)
		})
	})
	t.Run("an upload that nobody goes on with", func(t *testing.T) {
		onStage(t, open, func(s *stage) {
			s.asks(post + length4 + "ab")
			s.dials("a.example:80")
			s.hears(postAs + length4 + "ab")
			s.gets(ours(504, "The server does not answer."))
			s.clientIsLeft()
			s.serverIsLeft()
		})
	})
	t.Run("but not a slow one", func(t *testing.T) {
		onStage(t, open, func(s *stage) {
			s.asks(post + "Content-Length: 5\r\n\r\n")
			s.dials("a.example:80")
			s.hears(postAs + "Content-Length: 5\r\n\r\n")
			for range 5 {
				s.pause(9 * time.Minute)
				s.asks("x")
				s.hears("x")
			}
			s.answers("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
			s.gets("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
			for range 5 {
				s.pause(9 * time.Minute)
				s.answers("y")
				s.gets("y")
			}
			s.asks(get)
			s.hears(getAs)
		})
	})
	t.Run("nor a client that pauses", func(t *testing.T) {
		onStage(t, open, func(s *stage) {
			s.asks(get)
			s.dials("a.example:80")
			s.hears(getAs)
			go s.server.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n" + strings.Repeat("x", 30000)))
			s.gets("HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n")
			for range 10 {
				s.pause(50 * time.Second)
				s.gets(strings.Repeat("x", 3000))
			}
			s.asks(get)
			s.hears(getAs)
		})
	})
}

func TestAuthorization(t *testing.T) {
	with := func(request, credentials string) string {
		return strings.Replace(request, "\r\n\r\n", "\r\nProxy-Authorization: Basic "+credentials+"\r\n\r\n", 1)
	}
	const right, wrong = "YWxpY2U6c2VjcmV0", "YWxpY2U6d3Jvbmc="
	config := httpconnect.Config{Auth: alice}
	t.Run("is asked for at every request, and not passed on", func(t *testing.T) {
		onStage(t, config, func(s *stage) {
			s.asks(get)
			s.gets(whoAreYou())
			s.asks(with(get, wrong))
			s.gets(whoAreYou())
			s.asks(with(get, right))
			s.dials("a.example:80")
			s.hears(getAs)
			s.answers(ok)
			s.gets(ok)
			s.asks(get)
			s.gets(whoAreYou())
			s.asks(with(get, right))
			s.hears(getAs)
			s.answers(ok)
			s.gets(ok)
		})
	})
	t.Run("is asked for without content where the request is HEAD", func(t *testing.T) {
		onStage(t, config, func(s *stage) {
			s.asks(strings.Replace(get, "GET", "HEAD", 1) + get)
			head, _, _ := strings.Cut(whoAreYou(), askWho)
			s.gets(head + whoAreYou())
		})
	})
	t.Run("ends the connection where content follows", func(t *testing.T) {
		onStage(t, config, func(s *stage) {
			s.asks(post + length4 + "abcd")
			s.gets(ours(407, askWho))
			s.clientIsLeft()
			s.client.Close()
			s.endsFor(bridge.Auth, bridge.ByMITM)
		})
	})
	t.Run("is not tried forever", func(t *testing.T) {
		onStage(t, config, func(s *stage) {
			for range 15 {
				s.asks(with(ask, wrong))
				s.gets(whoAreYou())
			}
			s.asks(with(ask, wrong))
			s.gets(ours(407, askWho))
			s.clientIsLeft()
			s.client.Close()
			s.endsFor(bridge.Auth, bridge.ByMITM)
			s.dialsNothing()
		})
	})
	t.Run("is what is missing when the client leaves instead", func(t *testing.T) {
		onStage(t, config, func(s *stage) {
			s.asks(ask)
			s.gets(whoAreYou())
			s.client.Close()
			s.endsFor(bridge.Auth, bridge.ByMITM)
			s.dialsNothing()
		})
	})
	t.Run("does not count against what was granted before", func(t *testing.T) {
		onStage(t, config, func(s *stage) {
			s.asks(with(get, right))
			s.dials("a.example:80")
			s.hears(getAs)
			s.answers(ok)
			s.gets(ok)
			s.asks(get)
			s.gets(whoAreYou())
			s.client.Close()
			s.serverIsLeft()
			s.server.Close()
			s.endsFor(bridge.EOF, bridge.ByClient)
		})
	})
	t.Run("is needed before anything else is said", func(t *testing.T) {
		onStage(t, config, func(s *stage) {
			s.asks(getFrom("refuses.example"))
			s.gets(whoAreYou())
			s.asks(with(getFrom("refuses.example"), right))
			s.gets(ours(502, "refuses.example:80 refused the connection."))
			s.client.Close()
			s.endsFor(bridge.Refused, bridge.ByServer)
		})
	})
}

// largeBody is more than what a stream, a bulk read and both pipes hold.
const largeBody = 200 << 10

func TestLargeBodies(t *testing.T) {
	large, sizes := strings.Repeat("x", largeBody), []int{0, 4 << 10, 5000}
	begin := func(s *stage) {
		s.asks(get)
		s.dials("a.example:80")
		s.hears(getAs)
	}
	t.Run("that end with the connection", func(t *testing.T) {
		inReadsOf(t, sizes, open, func(s *stage) {
			begin(s)
			s.answersAtLength("HTTP/1.0 200 OK\r\n\r\n"+large, func() { s.server.Close() })
			s.gets("HTTP/1.0 200 OK\r\n\r\n" + large)
			s.clientIsLeft()
		})
	})
	t.Run("in one chunk, and a further request", func(t *testing.T) {
		inReadsOf(t, sizes, open, func(s *stage) {
			begin(s)
			response := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n32000\r\n" + large + "\r\n0\r\n\r\n"
			s.answersAtLength(response, func() {})
			s.gets(response)
			s.asks(get)
			s.hears(getAs)
		})
	})
	t.Run("that are cut off", func(t *testing.T) {
		inReadsOf(t, sizes, open, func(s *stage) {
			begin(s)
			s.answersAtLength("HTTP/1.1 200 OK\r\nContent-Length: 204801\r\n\r\n"+large, func() { s.server.Close() })
			s.gets("HTTP/1.1 200 OK\r\nContent-Length: 204801\r\n\r\n" + large)
			s.clientIsLeft()
			s.client.Close()
			s.endsFor(bridge.PeerClosed, bridge.ByServer)
		})
	})
	t.Run("whose client leaves", func(t *testing.T) {
		inReadsOf(t, sizes, open, func(s *stage) {
			begin(s)
			s.answersAtLength("HTTP/1.1 200 OK\r\nContent-Length: 204800\r\n\r\n"+large, func() {})
			s.gets("HTTP/1.1 200 OK\r\n")
			s.client.Reset()
			s.endsFor(bridge.Resets, bridge.ByClient)
		})
	})
	t.Run("of a request, whose server leaves", func(t *testing.T) {
		inReadsOf(t, sizes, open, func(s *stage) {
			s.asks(post + "Content-Length: 204800\r\n\r\n")
			s.dials("a.example:80")
			s.hears(postAs + "Content-Length: 204800\r\n\r\n")
			go s.client.Write([]byte(large)) // of which not all can be sent
			s.hears(large[:1000])
			s.server.Reset()
			s.gets(ours(502, "The server closed the connection before it answered."))
			s.ends()
		})
	})
}
