package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/measure"
	"github.com/superbpf/superbpf/traffic/remote"
)

// peerKeyEnv is where measure finds the key of its generator host: arguments can be
// read by every user of a host.
const peerKeyEnv = "SUPERBPF_PEER_KEY"

func trafficCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "traffic",
		Short: "Send packets to a host that measures",
		Long: `A traffic profile is YAML: how many flows, how long packets are, and what kinds
there are by weight. Addresses are drawn from prefixes, ports from ranges:

  name: web
  flows: 1000
  sizes: imix                  # or min, or "64,512*3,1500"
  packets:
    - {name: http, weight: 3, l3: ipv4, src: 10.0.0.0/8, dst: 10.1.0.1, l4: tcp, dst_port: "80"}
    - {name: dns, l3: ipv6, dst: "fd00::/64", l4: udp, dst_port: "53", vlan: [100]}
    - {name: tunnel, l3: ipv4, l4: vxlan, inner: {l3: ipv4, l4: icmp, icmp_type: 8}}

'superbpf measure --traffic FILE' runs on it, '--pcap FILE' on a capture.`,
	}
	c.AddCommand(trafficServeCommand())
	return c
}

func trafficServeCommand() *cobra.Command {
	var iface, listen string
	var force bool
	c := &cobra.Command{
		Use:   "serve --iface DEV",
		Short: "On the generator host: send what the device under test asks for",
		Long: `Waits for 'superbpf measure --peer' on another host and sends the packets that it
asks for through an interface: as frames that the kernel makes where it and the
interface's driver can (some drivers want an XDP program on the interface, any
will do), else by a packet socket. It prints a key, without which nobody is served: it
holds the fingerprint of the certificate that the connection must have, and a
token. Both are made anew at each start. Ctrl-C ends it.`,
		Example: `  gen$ sudo superbpf traffic serve --iface eth1
  dut$ sudo SUPERBPF_PEER_KEY=KEY superbpf measure old.o new.o --iface eth1 --peer gen:7470`,
		Args: exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if iface == "" {
				return fail(exitUsage, "name the interface to send on with --iface DEV")
			}
			return serveTraffic(c.Context(), c.OutOrStdout(), iface, listen, force)
		},
	}
	c.Flags().StringVar(&iface, "iface", "", "interface to send on")
	c.Flags().StringVar(&listen, "listen", ":7470", "address and port to listen on; use one of another interface")
	c.Flags().BoolVar(&force, "force-iface", false, "even if the interface carries the default route")
	return c
}

func serveTraffic(ctx context.Context, stdout io.Writer, iface, listen string, force bool) error {
	list, err := loader.Interfaces()
	if err != nil {
		return err
	}
	found := false
	for _, i := range list {
		if i.Name != iface {
			continue
		}
		found = true
		if i.DefaultRoute && !force {
			return fmt.Errorf("%s: %w: it would flood the host's own network; --force-iface does it all the same", iface, loader.ErrDefaultRoute)
		}
	}
	if !found {
		return fail(exitUsage, "there is no interface %q", iface)
	}
	said := "" // one request at a time
	s, err := remote.NewServer(func(ctx context.Context, r remote.Request) (remote.Reply, error) {
		reply, err := remote.Send(ctx, iface, r)
		if how := reply.By; err == nil && how != said {
			said = how
			if reply.Note != "" {
				how += " (" + reply.Note + ")"
			}
			fmt.Fprintln(stdout, "sending by", how)
		}
		return reply, err
	})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "listening on %s, sending on %s\n%s=%s\n", l.Addr(), iface, peerKeyEnv, s.Key)
	return s.Serve(ctx, l)
}

// mostPeerPackets bounds what a generator host is given.
const mostPeerPackets = 4096

// peerStretch is how long one request to the generator host lasts, in ms.
const peerStretch = 5000

// fromPeer has the generator host send the inputs until the returned function is
// called, which gives the first error.
func (s *measureSettings) fromPeer(ctx context.Context, in []measure.Input) (stop func() error, err error) {
	if s.peer == "" {
		return func() error { return nil }, nil
	}
	key, err := remote.ParseKey(os.Getenv(peerKeyEnv))
	if err != nil {
		return nil, fail(exitUsage, "%s: %v", peerKeyEnv, err)
	}
	r := remote.Request{Mpps: s.peerRate, Millis: peerStretch}
	for _, i := range in[:min(len(in), mostPeerPackets)] {
		r.Packets = append(r.Packets, i.Data)
	}
	client := remote.NewClient(s.peer, key, nil)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		defer client.Close()
		for {
			if _, err := client.Send(ctx, r); err != nil {
				if errors.Is(ctx.Err(), context.Canceled) {
					err = nil
				}
				done <- err
				return
			}
		}
	}()
	return func() error { cancel(); return <-done }, nil
}
