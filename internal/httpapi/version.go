package httpapi

// Version is the version of this source code. It is the newest version in CHANGELOG.md and the value of the template's output Version. A test
// compares the three.
const Version = "1.0.0"
