// Package bench measures the service against its latency floor, the longest chain of calls that must follow one another, and against the
// same work one call at a time, over real sockets. S3 answers after 15 ms and ECR after 30 ms here. How its cost grows with the number of
// images is measured in simulated time, without sockets. It has benchmarks and nothing else.
package bench
