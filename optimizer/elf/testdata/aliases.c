// A function with two names. No debug information: clang cannot give it both.
#define SEC(s) __attribute__((section(s), used))

int total;

__attribute__((noinline)) int add(int x)
{
	total += x;
	return x * 3 + total;
}

int more(int x) __attribute__((alias("add")));

SEC("xdp") int both(int *ctx)
{
	return (add(ctx[3]) + more(ctx[4])) & 3;
}
