// Package bench measures the service over real sockets. It compares the time with the latency floor, which is the
// longest sequence of calls that must follow one another, and with the time when calls are answered one by one. S3
// responds after 15 ms and ECR after 30 ms. In simulated time and without sockets it measures how the cost grows
// with the number of images. The package contains only benchmarks.
package bench
