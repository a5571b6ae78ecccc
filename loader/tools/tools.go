// Package tools loads objects with the other loaders that a host may have, to
// see whether they take what was written: bpftool, which is libbpf, and
// iproute2's ip and tc, which bring their own ways.
//
// Invariant: each load happens in mount and network namespaces of its own, which
// go away with it; nothing stays loaded, pinned or attached.
//
// To add a loader, add an entry to the table.
package tools

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// limit bounds one run of a loader, which may load many programs.
const limit = 2 * time.Minute

// Tool is a loader.
type Tool struct {
	Name string
	// Types are the program types that it loads (enum bpf_prog_type), none for
	// all.
	Types []uint32
	needs []string
	// script gets a folder to use as $1, the object as $2 and the names of
	// programs behind them. It prints the names of those that it could load.
	script string
}

var table = []Tool{
	// All or nothing, as libbpf does it.
	{"bpftool", nil, []string{"bpftool"}, `B=/sys/fs/bpf; [ -d $B ] || B=$1 # where maps go that are pinned by name
mount -t bpf bpf "$B" && bpftool prog loadall "$2" "$B/p" && ls "$B/p"`},
	{"ip link", []uint32{6}, []string{"ip"}, `ip link add v0 type veth peer name v1 && ip link set v0 up && D=$2 && shift 2 || exit
for p in "$@"; do
	ip link set dev v0 xdp obj "$D" program "$p" && echo "$p"
	ip link set dev v0 xdp off 2>/dev/null
done`},
	{"tc", []uint32{3}, []string{"ip", "tc"}, `ip link add v0 type veth peer name v1 && tc qdisc add dev v0 clsact && D=$2 && shift 2 || exit
for p in "$@"; do
	tc filter add dev v0 ingress bpf da obj "$D" program "$p" && echo "$p"
	tc filter del dev v0 ingress 2>/dev/null
done`},
}

// All lists the loaders.
func All() []Tool { return slices.Clone(table) }

// Available reports what a loader lacks on this host.
func (t *Tool) Available() error {
	if os.Geteuid() != 0 {
		return errors.New("needs root")
	}
	for _, p := range append([]string{"unshare", "sh"}, t.needs...) {
		if _, err := exec.LookPath(p); err != nil {
			return fmt.Errorf("%s is missing", p)
		}
	}
	return nil
}

// Load tries to load programs of an object and returns the names of those that
// it could load, sorted. said is what the loader complained of. An error means
// that it could not be tried.
func (t *Tool) Load(ctx context.Context, object []byte, programs []string) (loaded []string, said string, err error) {
	dir, err := os.MkdirTemp("", "superbpf-load-*")
	if err != nil {
		return nil, "", err
	}
	defer os.RemoveAll(dir)
	file, mount := filepath.Join(dir, "object.o"), filepath.Join(dir, "m")
	if err := errors.Join(os.WriteFile(file, object, 0o600), os.Mkdir(mount, 0o700)); err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c := exec.CommandContext(ctx, "unshare", append([]string{"-m", "-n", "sh", "-c", t.script, "sh", mount, file}, programs...)...)
	// Its children end with it.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = time.Second
	c.Env = append(os.Environ(), "LC_ALL=C")
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err = c.Run()
	if ctx.Err() != nil {
		return nil, "", ctx.Err()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, "", err
	}
	loaded = strings.Fields(out.String())
	slices.Sort(loaded)
	return loaded, strings.TrimSpace(errs.String()), nil
}
