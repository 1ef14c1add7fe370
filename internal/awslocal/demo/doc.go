// Package demo plays a story in an embedded ECR: 60 days of pushes, new vulnerabilities, rebuilt images and failures in eight
// repositories. The story is data: story.json has the repositories, images and events, and vulnerabilities.json has what the
// scanner knows. The vulnerabilities are real. The days on which the scanner learns of them are not.
//
// The package also has the clock of the demo. It changes nothing but the embedded ECR: the service visits and reads it as it
// visits and reads any registry.
package demo
