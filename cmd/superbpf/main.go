// Command superbpf makes compiled BPF programs smaller and faster.
package main

func main() {}
