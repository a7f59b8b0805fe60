package interop

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/bridgeio/bridgeio/internal/peers"
	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// A chromiumClient is one browser. Each visit has a browser context of its own, which
// shares no connection, cache or TLS session with another.
type chromiumClient struct {
	mu   sync.Mutex // one visit at a time
	conn *websocket.Conn
	last int // id of the last command

	messages chan cdpMessage // what it says; closed when it says no more
	events   []cdpMessage    // what came while an answer was waited for
}

// A cdpMessage is any of the Chrome DevTools Protocol: a command has an id and a
// method, its answer the id and a result or an error, an event a method.
type cdpMessage struct {
	ID        int             `json:"id,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    json.RawMessage `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// driveChromium connects to a browser that has been started.
func driveChromium(ctx context.Context, proc *peers.Process) (*chromiumClient, error) {
	conn, _, err := websocket.Dial(ctx, peers.ChromiumEndpoint(proc.Stderr()), nil)
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(1 << 20)
	c := &chromiumClient{conn: conn, messages: make(chan cdpMessage)}
	go c.read()
	return c, nil
}

// read ends with close. It reads on behalf of all visits, since a read that is given up
// would be the end of the connection.
func (c *chromiumClient) read() {
	defer close(c.messages)
	for {
		var m cdpMessage
		if err := wsjson.Read(context.Background(), c.conn, &m); err != nil {
			return
		}
		c.messages <- m
	}
}

// close ends the connection and waits for it.
func (c *chromiumClient) close() {
	c.conn.CloseNow()
	for range c.messages {
		continue // an event that nobody waited for
	}
}

// receive returns the next message.
func (c *chromiumClient) receive(ctx context.Context) (cdpMessage, error) {
	select {
	case m, ok := <-c.messages:
		if !ok {
			return m, errors.New("it has left")
		}
		return m, nil
	case <-ctx.Done():
		return cdpMessage{}, ctx.Err()
	}
}

func (*chromiumClient) knows(string) bool { return true }

func (c *chromiumClient) visit(ctx context.Context, v visit) (page string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = nil
	var made struct {
		BrowserContextID string `json:"browserContextId"`
	}
	if err := c.command(ctx, "", "Target.createBrowserContext", throughProxy(v), &made); err != nil {
		return "", err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), runTimeout)
		defer cancel()
		err = errors.Join(err, c.command(ctx, "", "Target.disposeBrowserContext", made, nil))
	}()
	session, err := c.openPage(ctx, made.BrowserContextID)
	if err != nil {
		return "", err
	}
	return c.load(ctx, session, v.url())
}

// throughProxy are the parameters of a context. Without the bypass rule a URL of
// localhost would go around the proxy.
func throughProxy(v visit) map[string]any {
	scheme := map[string]string{"socks5": "socks5://", "connect": "http://"}[v.path]
	if v.target == "" {
		return map[string]any{}
	}
	return map[string]any{"proxyServer": scheme + v.at, "proxyBypassList": "<-loopback>"}
}

// openPage opens an empty page whose answers will be paused before they are shown: a
// page that Chromium would rather save than show can then be read as well.
func (c *chromiumClient) openPage(ctx context.Context, browserContext string) (session string, err error) {
	var target struct {
		TargetID string `json:"targetId"`
	}
	args := map[string]any{"url": "about:blank", "browserContextId": browserContext}
	if err := c.command(ctx, "", "Target.createTarget", args, &target); err != nil {
		return "", err
	}
	var attached struct {
		SessionID string `json:"sessionId"`
	}
	args = map[string]any{"targetId": target.TargetID, "flatten": true}
	if err := c.command(ctx, "", "Target.attachToTarget", args, &attached); err != nil {
		return "", err
	}
	args = map[string]any{"patterns": []map[string]string{{"requestStage": "Response"}}}
	return attached.SessionID, c.command(ctx, attached.SessionID, "Fetch.enable", args, nil)
}

// load navigates to a URL and returns the body of its answer.
func (c *chromiumClient) load(ctx context.Context, session, url string) (string, error) {
	id, err := c.send(ctx, session, "Page.navigate", map[string]any{"url": url})
	if err != nil {
		return "", err
	}
	request, err := c.paused(ctx, session, id)
	if err != nil {
		return "", fmt.Errorf("chromium: %w", err)
	}
	var answer struct {
		Body          string `json:"body"`
		Base64Encoded bool   `json:"base64Encoded"`
	}
	if err := c.command(ctx, session, "Fetch.getResponseBody", map[string]any{"requestId": request}, &answer); err != nil {
		return "", err
	}
	if !answer.Base64Encoded {
		return answer.Body, nil
	}
	body, err := base64.StdEncoding.DecodeString(answer.Body)
	return string(body), err
}

func (c *chromiumClient) send(ctx context.Context, session, method string, params any) (id int, err error) {
	text, err := json.Marshal(params)
	if err != nil {
		return 0, err
	}
	c.last++
	return c.last, wsjson.Write(context.WithoutCancel(ctx), c.conn, cdpMessage{ID: c.last, SessionID: session, Method: method, Params: text})
}

// command sends a command and waits for its answer.
func (c *chromiumClient) command(ctx context.Context, session, method string, params, result any) error {
	id, err := c.send(ctx, session, method, params)
	if err != nil {
		return fmt.Errorf("chromium: %s: %w", method, err)
	}
	for {
		m, err := c.receive(ctx)
		if err != nil {
			return fmt.Errorf("chromium: %s: %w", method, err)
		}
		switch {
		case m.ID != id:
			c.events = append(c.events, m)
		case m.Error != nil:
			return fmt.Errorf("chromium: %s: %s", method, m.Error.Message)
		case result == nil:
			return nil
		default:
			return json.Unmarshal(m.Result, result)
		}
	}
}

// paused waits for the answer to the page's request, or for the news that there will be
// none. A navigation is answered only when the paused page may go on, or has failed.
func (c *chromiumClient) paused(ctx context.Context, session string, navigation int) (request string, err error) {
	for {
		m, err := c.next(ctx)
		if err != nil {
			return "", err
		}
		var said struct {
			RequestID           string `json:"requestId"`
			ResponseErrorReason string `json:"responseErrorReason"`
			ErrorText           string `json:"errorText"`
		}
		switch {
		case m.SessionID == session && m.Method == "Fetch.requestPaused":
			err = json.Unmarshal(m.Params, &said)
		case m.ID == navigation:
			err = json.Unmarshal(m.Result, &said)
		default:
			continue
		}
		if said.RequestID == "" || said.ResponseErrorReason != "" {
			err = errors.Join(err, fmt.Errorf("no page: %s%s", said.ErrorText, said.ResponseErrorReason))
		}
		return said.RequestID, err
	}
}

// next returns the next message that is no answer to a command, but for a navigation.
func (c *chromiumClient) next(ctx context.Context) (m cdpMessage, err error) {
	if len(c.events) > 0 {
		m, c.events = c.events[0], c.events[1:]
		return m, nil
	}
	return c.receive(ctx)
}
