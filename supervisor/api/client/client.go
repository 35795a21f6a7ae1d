// Package client calls a heroproc daemon over its unix socket.
//
// A Client keeps one pool of connections and is safe for concurrent use; a
// program makes one and keeps it. What the daemon refuses comes back as a
// *rpc.Error with its code; that no daemon answers, as ErrNoDaemon.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// maxIdle is how many idle connections are kept for the next call. Dialling
// costs many times a call, so it is as many as callers are likely at once.
const maxIdle = 64

// idleTimeout ends a kept connection before the daemon does (it waits two
// minutes), so that no call meets a connection that is just being closed.
const idleTimeout = 90 * time.Second

// Client calls one daemon.
type Client struct {
	socket string
	http   *http.Client
	lastID atomic.Int64
}

// New makes a client of the daemon on a socket. It does not connect yet: each
// call tells whether a daemon is there.
func New(socket string) *Client {
	var dialer net.Dialer
	return &Client{
		socket: socket,
		http: &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", socket)
			},
			MaxIdleConnsPerHost: maxIdle,
			IdleConnTimeout:     idleTimeout,
			DisableCompression:  true,
		}},
	}
}

// Close ends the connections that are kept; calls that are under way go on.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Call calls a method and decodes its result into result, a pointer, or nil to
// ignore it. params is anything that encodes as a JSON object, or nil.
func (c *Client) Call(ctx context.Context, method string, params, result any) error {
	id := strconv.FormatInt(c.lastID.Add(1), 10)
	body, err := encodeRequest(id, method, params)
	if err != nil {
		return fmt.Errorf("cannot encode the parameters of %s: %w", method, err)
	}
	response, err := c.do(ctx, http.MethodPost, rpc.Path, body)
	if err != nil {
		return fmt.Errorf("cannot call %s: %w", method, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("cannot call %s: %w", method, c.lost(ctx, err))
	}
	var answer rpc.Response
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("cannot understand the answer to %s (HTTP %s): %w", method, response.Status, err)
	}
	switch {
	case answer.Error != nil:
		return answer.Error
	case string(answer.ID) != id:
		return fmt.Errorf("the answer to %s is one to another call: id %s instead of %s", method, answer.ID, id)
	case result == nil:
		return nil
	}
	if err := json.Unmarshal(answer.Result, result); err != nil {
		return fmt.Errorf("cannot understand the result of %s: %w", method, err)
	}
	return nil
}

// encodeRequest leaves out parameters that are not given.
func encodeRequest(id, method string, params any) ([]byte, error) {
	request := rpc.Request{JSONRPC: rpc.Version, ID: json.RawMessage(id), Method: method}
	if params != nil {
		encoded, err := json.Marshal(params)
		if err != nil {
			return nil, err
		}
		request.Params = encoded
	}
	return json.Marshal(request)
}

// do sends one HTTP request; the caller closes the answer's body.
func (c *Client) do(ctx context.Context, method, target string, body []byte) (*http.Response, error) {
	// The host means nothing on a unix socket, but HTTP wants one.
	request, err := http.NewRequestWithContext(ctx, method, "http://heroproc"+target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.lost(ctx, err)
	}
	return response, nil
}

// lost tells a caller who gave up from a daemon that is not there.
func (c *Client) lost(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return lostError(c.socket, err)
}
