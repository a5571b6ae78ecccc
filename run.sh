#!/usr/bin/env bash
# Sets up, builds, and runs superbpf: see ./run.sh --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
	cat <<'TEXT'
Usage:
  sudo ./run.sh [options]     compile, optimize, prove, load and measure a suite; write tables to results/
  ./run.sh build              install what is missing and leave the program at bin/superbpf
  ./run.sh test [go flags]    run every test (as root; kernel and Z3 required; tests with other kernels
                              run if one is cached or SUPERBPF_GUESTS=1 is set)
  ./run.sh --help             this text

Options of the main job (all are passed to `superbpf bench run`):
  --suite NAME        the suite: k2 (default), modern, all, or a folder of programs
  --programs A,B      only these programs
  --objective WHAT    latency (default), size or complexity
  --iface DEV         also measure on this network interface (native XDP)
  --force-iface       ... even if it carries the default route
  --pcap FILE         packets to replay instead of the suite's own traffic
  --seed N            seed of every random choice (default 1)
  --budget DURATION   wall-clock ceiling for each program (default 20s)
  --out DIR           where records and tables go (default results)
  --kernels A,B       verifiers that must accept: running (default), and versions
                      such as 6.1,6.12, run in virtual machines (installs qemu)
  --quick             fewer measurement rounds
  -O 1|2|3            effort (default 2)

Examples:
  sudo ./run.sh
  sudo ./run.sh --programs xdp1,xdp2 --objective size
  sudo ./run.sh --kernels running,6.1,6.12
  sudo ./run.sh --suite modern --budget 5s --out /tmp/results
TEXT
}

say() { printf 'run.sh: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# sudo often resets PATH: look where Go is usually installed.
find_go() {
	local dirs=(/usr/local/go/bin /usr/lib/go/bin /snap/bin /opt/go/bin) home
	for home in "${HOME:-}" "$(getent passwd "${SUDO_USER:-}" 2>/dev/null | cut -d: -f6)"; do
		[ -n "$home" ] && dirs+=("$home/go/bin" "$home/.local/go/bin" "$home/sdk"/go*/bin)
	done
	command -v go >/dev/null && return
	local d
	for d in "${dirs[@]}"; do
		if [ -x "$d/go" ]; then
			export PATH="$PATH:$d"
			return
		fi
	done
	die "Go is not installed (or not on PATH): install it from your distribution or https://go.dev/dl"
}

# Kernels in virtual machines that --kernels names, empty for none.
guests=
find_guests() {
	local a prev=
	for a in "$@"; do
		case "$prev" in --kernels) a="--kernels=$a" ;; esac
		case "$a" in --kernels=*) guests=$(tr , '\n' <<<"${a#--kernels=}" | grep -v '^running$' || true) ;; esac
		prev=$a
	done
}

# Installs the Debian packages whose files are missing.
install_packages() {
	local want=()
	command -v clang-19 >/dev/null || command -v clang >/dev/null || want+=(clang-19)
	[ -e /usr/include/bpf/bpf_helpers.h ] || want+=(libbpf-dev)
	[ -e /usr/include/linux/bpf.h ] || want+=(linux-libc-dev)
	[ -e /usr/include/z3.h ] || want+=(libz3-dev)
	command -v z3 >/dev/null || want+=(z3)
	command -v gcc >/dev/null || want+=(gcc libc6-dev)
	[ -z "$guests" ] || command -v qemu-system-x86_64 >/dev/null || want+=(qemu-system-x86)
	[ ${#want[@]} -eq 0 ] && return
	[ "$(id -u)" -eq 0 ] || die "missing packages: ${want[*]}; run 'sudo apt-get install ${want[*]}' or run this script with sudo"
	command -v apt-get >/dev/null || die "missing: ${want[*]}, and this system has no apt-get; install their equivalents"
	say "installing ${want[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq >&2 || say "apt-get update failed; trying with the lists at hand"
	apt-get install -y -qq --no-install-recommends "${want[@]}" >/dev/null || die "apt-get install ${want[*]} failed"
}

# go-z3 expects a static libz3.a in its own source folder. A copy of the module
# whose libz3.a is a linker script pointing at the system's library, put in
# place by an alternative go.mod, leaves the module cache and go.mod alone.
prepare_z3() {
	local dir=bin/.build mod
	mkdir -p $dir
	if [ -e $dir/go.mod ] && [ $dir/go.mod -nt go.mod ] && [ $dir/go.sum -nt go.sum ] && [ -e $dir/go-z3/libz3.a ]; then
		return
	fi
	go mod download
	mod=$(go list -m -f '{{.Dir}}' github.com/mitchellh/go-z3)
	[ -n "$mod" ] || die "cannot find the go-z3 module"
	rm -rf $dir/go-z3
	mkdir -p $dir/go-z3
	cp -r "$mod"/. $dir/go-z3/
	chmod -R u+w $dir/go-z3
	[ -e $dir/go-z3/go.mod ] || echo 'module github.com/mitchellh/go-z3' >$dir/go-z3/go.mod
	echo 'INPUT(-lz3)' >$dir/go-z3/libz3.a
	cp go.sum $dir/go.sum
	{
		cat go.mod
		echo 'replace github.com/mitchellh/go-z3 => ./bin/.build/go-z3'
	} >$dir/go.mod
}

go_flags=(-modfile=bin/.build/go.mod -tags=z3cgo -buildvcs=false)

build() {
	find_go
	install_packages
	prepare_z3
	mkdir -p bin
	go build "${go_flags[@]}" -o bin/superbpf ./cmd/superbpf
	# What runs in the virtual machines of --kernels has no libraries there.
	CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags='-s -w' -o bin/superbpf-guest ./cmd/superbpf-guest
}

case "${1:-}" in
-h | --help | help)
	usage
	;;
build)
	build
	;;
test)
	shift
	[ "$(id -u)" -eq 0 ] || die "the tests load BPF programs: run them as root (go test ./... alone skips those)"
	[ "${SUPERBPF_GUESTS:-}" != 1 ] || guests=any
	build
	export SUPERBPF_REQUIRE_KERNEL=1 SUPERBPF_REQUIRE_Z3=1
	if [ "${SUPERBPF_GUESTS:-}" != 1 ] && ! compgen -G "${XDG_CACHE_HOME:-$HOME/.cache}/superbpf/kernels/[0-9]*/vmlinuz" >/dev/null; then
		say "tests with other kernels are skipped: none is cached (SUPERBPF_GUESTS=1 fetches them)"
	fi
	go vet "${go_flags[@]}" ./...
	exec go test "${go_flags[@]}" -timeout 15m "$@" ./...
	;;
*)
	for a in "$@"; do
		case "$a" in -h | --help) usage; exit 0 ;; esac
	done
	[ "$(id -u)" -eq 0 ] || die "loading BPF programs needs root: sudo ./run.sh"
	find_guests "$@"
	build
	exec bin/superbpf bench run "$@"
	;;
esac
