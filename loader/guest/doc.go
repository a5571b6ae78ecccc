// Package guest asks the verifiers of other kernels. Each kernel runs in a
// small virtual machine whose only process, cmd/superbpf-guest, loads objects
// with package loader, exactly as the host would, and answers over a virtio
// serial port. No disk, no network: an initial file system in memory. Reading an
// object takes an emulated processor several times as long as verifying it, so
// candidates go there prepared (loader.Prepared) where that is possible.
//
// Kernels come from Debian packages. They are downloaded once and kept in the
// user's cache folder.
//
// Invariant: a machine never outlives this process. It has no name, file or
// socket that others could find; the kernel kills it with the thread that
// started it.
//
// To support another source of kernels, return an Image from Resolve.
package guest
