package main

import (
	"strings"
	"testing"
)

const untyped = header + `
SEC("prog/main") int main_prog(struct xdp_md *ctx) { return ctx->rx_queue_index > 3 ? XDP_PASS : XDP_DROP; }
SEC("prog/broken") int broken(struct xdp_md *ctx) { char *p = (char *)(long)ctx->data; return p[1]; }
`

// --type reaches everything that loads programs, and a program that the kernel
// refuses does not keep the others from being compared.
func TestMeasureGoesOn(t *testing.T) {
	needRoot(t)
	a := object(t, untyped)
	args := []string{"measure", a, a, "--quick", "--packets", "200"}
	if text, msg, code := run(t, args...); code != 1 || !strings.Contains(msg, "2 of 2 programs") || !strings.Contains(text, "--type") {
		t.Errorf("without a type: exit code %d: %s%s", code, text, msg)
	}
	text, msg, code := run(t, append(args, "--type", "xdp")...)
	if code != 1 && code != exitSlower || !strings.Contains(text, "broken: not compared") || !strings.Contains(text, "main_prog: same") {
		t.Errorf("exit code %d: %s%s", code, text, msg)
	}
}

// The kernel confirms differences in programs whose type was told.
func TestVerifyConfirmsWithType(t *testing.T) {
	needRoot(t)
	a, b := object(t, untyped), object(t, strings.Replace(untyped, "XDP_PASS : XDP_DROP", "XDP_TX : XDP_TX", 1))
	text, msg, code := run(t, "verify", a, b, "--type", "xdp", "--runs", "500")
	if code != exitUnproved || !strings.Contains(text, "confirmed: returns") {
		t.Errorf("exit code %d: %s%s", code, text, msg)
	}
}
