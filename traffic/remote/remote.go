package remote

import (
	"bytes"
	"context"
	"crypto/subtle"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Request asks for packets, in turn, at a rate for a time.
type Request struct {
	Packets [][]byte `json:"packets"`
	// Mpps is in million packets per second; 0 means as many as can be.
	Mpps float64 `json:"mpps"`
	// Millis is in ms.
	Millis int `json:"millis"`
}

// Reply says what was sent.
type Reply struct {
	Sent uint64 `json:"sent"`
	// Mpps is the rate really offered.
	Mpps float64 `json:"mpps"`
	// By says how (ByLiveFrames or ByPacketSocket), Note why not otherwise.
	By   string `json:"by"`
	Note string `json:"note,omitempty"`
}

// Bounds of a request.
const (
	maxPackets = 1 << 14
	maxPacket  = 9216
	maxMillis  = 60_000
	maxBody    = 64 << 20
)

func (r *Request) check() error {
	switch {
	case len(r.Packets) == 0 || len(r.Packets) > maxPackets:
		return fmt.Errorf("%d packets, want 1 to %d", len(r.Packets), maxPackets)
	case r.Millis <= 0 || r.Millis > maxMillis:
		return fmt.Errorf("%d ms, want 1 to %d", r.Millis, maxMillis)
	case r.Mpps < 0:
		return fmt.Errorf("a rate of %v Mpps", r.Mpps)
	}
	for _, p := range r.Packets {
		if len(p) < 14 || len(p) > maxPacket {
			return fmt.Errorf("a packet of %d bytes, want 14 to %d", len(p), maxPacket)
		}
	}
	return nil
}

// path of the only service.
const path = "/v1/send"

// Server sends packets for clients that have its key.
type Server struct {
	Key  Key
	http http.Server
	tls  *tls.Config
	busy chan struct{}
	send func(context.Context, Request) (Reply, error)
}

// NewServer makes a server; send does the sending and ends with its context.
func NewServer(send func(context.Context, Request) (Reply, error)) (*Server, error) {
	key, cert, err := newKey()
	if err != nil {
		return nil, fmt.Errorf("traffic server: %w", err)
	}
	s := &Server{Key: key, send: send, busy: make(chan struct{}, 1),
		tls: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+path, s.serve)
	s.http = http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, MaxHeaderBytes: 1 << 14}
	return s, nil
}

// Serve answers until the context ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	stop := context.AfterFunc(ctx, func() { s.http.Close() })
	defer stop()
	err := s.http.Serve(tls.NewListener(l, s.tls))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if subtle.ConstantTimeCompare([]byte(token), []byte(s.Key.String())) != 1 {
		http.Error(w, "wrong key", http.StatusUnauthorized)
		return
	}
	var req Request
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := req.check(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	default:
		http.Error(w, "busy sending for another", http.StatusConflict)
		return
	}
	reply, err := s.send(r.Context(), req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(reply)
}

// Client drives a server.
type Client struct {
	addr string
	key  Key
	http http.Client
}

// NewClient makes a client for the server at host:port. dial may be nil.
func NewClient(addr string, key Key, dial func(ctx context.Context, network, addr string) (net.Conn, error)) *Client {
	return &Client{addr, key, http.Client{Transport: &http.Transport{DialContext: dial, TLSClientConfig: key.pinned(), TLSHandshakeTimeout: 10 * time.Second}}}
}

// Send has the server send, and returns when it has.
func (c *Client) Send(ctx context.Context, r Request) (reply Reply, err error) {
	if err := r.check(); err != nil {
		return reply, err
	}
	body, err := json.Marshal(r)
	if err != nil {
		return reply, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+c.addr+path, bytes.NewReader(body))
	if err != nil {
		return reply, err
	}
	req.Header.Set("Authorization", "Bearer "+c.key.String())
	resp, err := c.http.Do(req)
	if err != nil {
		return reply, fmt.Errorf("traffic server: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return reply, fmt.Errorf("traffic server: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return reply, fmt.Errorf("traffic server %s: %s", c.addr, strings.TrimSpace(string(text)))
	}
	return reply, json.Unmarshal(text, &reply)
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }
