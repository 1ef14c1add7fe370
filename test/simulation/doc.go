// Package simulation replays 30 days of pushes, new vulnerabilities, fixes, failures and changes of the scan type.
// It compares the feeds and the summary with what happened: no change may be missing or reported twice. The events
// are random but reproducible by a seed. The expected changes come from a model in this package, which knows the
// results of the scans and shares no code with the service.
//
// The odd months have images of all shapes: archived images, artifacts, signatures, indexes whose platforms, spelling and
// order change, Windows builds, and tags and repositories that are missing for some days. What their feeds must report
// comes from a second model, which knows only which builds are the same.
//
// In another month, suppressions begin, end, are replaced and deleted. Its model knows what the last scans found and which suppressions match.
//
// The feeds of the demo of package internal/awslocal/demo obey the same rules, and tell what its story says.
//
// Visits run about every six hours, and also before each daily read, because reads store nothing.
//
// It measures no time. It reads only what a feed reader and a script can read.
package simulation
