package ecr

import (
	"ecr-continuous-scan/internal/awslocal"
)

type scanStatus struct {
	Status      string `json:"status"`
	Description string `json:"description,omitempty"`
}

// image returns the image of a call, and its repository.
func (e *ECR) image(call awslocal.Call, q *request) (*repository, *image, error) {
	r, err := e.repositoryOf(call, q)
	if err != nil {
		return nil, nil, err
	}
	if q.ImageID == nil {
		return nil, nil, invalidParameter("imageId", "must not be null")
	}
	if err := q.ImageID.check("imageId"); err != nil {
		return nil, nil, err
	}
	img, ok := r.find(*q.ImageID)
	if !ok {
		return nil, nil, noImage(r.id, *q.ImageID)
	}
	return r, img, nil
}

func (e *ECR) startImageScan(call awslocal.Call, q *request) (any, error) {
	r, img, err := e.image(call, q)
	if err != nil {
		return nil, err
	}
	img.finishDueScan(e.now())
	if err := e.reserveScan(r, img, q); err != nil {
		return nil, err
	}
	e.start(img, e.now())
	return struct {
		RegistryID     string     `json:"registryId"`
		RepositoryName string     `json:"repositoryName"`
		ImageID        imageID    `json:"imageId"`
		Status         scanStatus `json:"imageScanStatus"`
	}{r.id.Registry, r.id.Name, imageID{img.def.Digest, q.ImageID.Tag}, scanStatus{Status: "IN_PROGRESS"}}, nil
}

// reserveScan returns an error if a scan can't be started, and otherwise uses one scan of the quota. A failed scan counts for
// the 24-hour limit, because ECR's documentation mentions no exception.
func (e *ECR) reserveScan(r *repository, img *image, q *request) error {
	now := e.now()
	switch {
	case e.kind(r.id) == Enhanced:
		return awslocal.BadRequest("ValidationException", "This feature is disabled")
	case img.def.unscannable() != "":
		return awslocal.BadRequest("UnsupportedImageTypeException",
			"An artifact with media type '%s' cannot be scanned", img.def.unscannable())
	case img.def.Status != Active:
		return awslocal.BadRequest("ImageArchivedException",
			"The image with imageId %s within the repository with name '%s' in the registry with id '%s' is archived",
			q.ImageID, r.id.Name, r.id.Registry)
	case !img.completesAt.IsZero(), !img.def.ScannedAt.IsZero() && now.Sub(img.def.ScannedAt) < day:
		return awslocal.BadRequest("LimitExceededException", "The scan quota per image has been exceeded. Wait and try again.")
	case !e.quotaOf(r.id).take(now, e.scanQuota):
		return awslocal.BadRequest("LimitExceededException", "The scan quota per registry has been exceeded. Wait and try again.")
	}
	return nil
}

type scanFindings struct {
	CompletedAt     Time               `json:"imageScanCompletedAt,omitzero"`
	SourceUpdatedAt Time               `json:"vulnerabilitySourceUpdatedAt,omitzero"`
	Counts          map[string]int     `json:"findingSeverityCounts,omitzero"`
	Findings        *[]Finding         `json:"findings,omitempty"`
	Enhanced        *[]EnhancedFinding `json:"enhancedFindings,omitempty"`
}

func (e *ECR) describeImageScanFindings(call awslocal.Call, q *request) (any, error) {
	r, img, err := e.image(call, q)
	if err != nil {
		return nil, err
	}
	at, err := q.pageStart(call, position{})
	if err != nil {
		return nil, err
	}
	scan := img.currentScan(e.now(), e.kind(r.id))
	if scan == nil {
		return nil, noScan(r.id, *q.ImageID)
	}
	answer := struct {
		RegistryID     string        `json:"registryId"`
		RepositoryName string        `json:"repositoryName"`
		ImageID        imageID       `json:"imageId"`
		Status         scanStatus    `json:"imageScanStatus"`
		Findings       *scanFindings `json:"imageScanFindings,omitempty"`
		NextToken      string        `json:"nextToken,omitempty"`
	}{
		RegistryID: r.id.Registry, RepositoryName: r.id.Name, ImageID: imageID{img.def.Digest, q.ImageID.Tag},
		Status: scanStatus{scan.status, scan.description},
	}
	if scan.hasFindings() {
		answer.Findings, answer.NextToken = scan.page(at, q.pageSize())
	}
	return answer, nil
}

// page returns one page of both lists, with the basic findings first. The counts of each page are those of the whole image.
func (r *scanResult) page(at position, size int) (*scanFindings, string) {
	if r.notReady {
		return &scanFindings{Findings: &[]Finding{}}, ""
	}
	first := min(int(at.Seq), len(r.findings)+len(r.enhanced))
	last := min(first+size, len(r.findings)+len(r.enhanced))
	basic := r.findings[min(first, len(r.findings)):min(last, len(r.findings))]
	enhanced := r.enhanced[max(first-len(r.findings), 0):max(last-len(r.findings), 0)]
	page := &scanFindings{
		CompletedAt: Time{r.completed}, SourceUpdatedAt: Time{r.sourceUpdated},
		Counts: r.counts,
	}
	if r.counts == nil {
		page.Counts = countSeverities(r.findings, r.enhanced)
	}
	if r.enhanced == nil || r.findings != nil {
		page.Findings = nonNil(basic)
	}
	if r.enhanced != nil {
		page.Enhanced = nonNil(enhanced)
	}
	at.Seq = int64(last)
	switch isLast := last == len(r.findings)+len(r.enhanced); {
	case isLast && r.cut:
		at.Seq++ // so that the token of the next, empty page is the same
	case isLast:
		return page, ""
	}
	return page, at.token()
}

// nonNil returns a non-nil list, so that JSON contains [] instead of null.
func nonNil[T any](list []T) *[]T {
	if list == nil {
		list = []T{}
	}
	return &list
}
