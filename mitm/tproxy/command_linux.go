package tproxy

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// maxTime bounds a program that hangs.
const maxTime = 30 * time.Second

// path is where a program is: users other than root have no sbin in their PATH.
func (c command) path() (string, error) {
	file, err := exec.LookPath(c.name)
	if err == nil {
		return file, nil
	}
	for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
		if file, sbinErr := exec.LookPath(dir + c.name); sbinErr == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s is not installed: on Debian it is in the package %s", c.name, map[string]string{"nft": "nftables", "ip": "iproute2", "ss": "iproute2"}[c.name])
}

// run runs it and returns what it wrote to stdout.
func (c command) run(ctx context.Context) ([]byte, error) {
	file, err := c.path()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, file, c.args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.stdin), &out, &errOut
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's ^C is for us, who end it if need be
	err = cmd.Run()
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, &commandError{c, complaint(errOut.String(), c.stdin), err}
	}
	return out.Bytes(), nil
}
