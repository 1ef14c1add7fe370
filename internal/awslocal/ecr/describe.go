package ecr

import (
	"cmp"
	"slices"

	"ecr-continuous-scan/internal/awslocal"
)

type repositoryJSON struct {
	ARN            string          `json:"repositoryArn"`
	RegistryID     string          `json:"registryId"`
	Name           string          `json:"repositoryName"`
	CreatedAt      Time            `json:"createdAt,omitzero"`
	ScanningConfig map[string]bool `json:"imageScanningConfiguration"`
}

type imageDetail struct {
	RegistryID        string   `json:"registryId"`
	RepositoryName    string   `json:"repositoryName"`
	Digest            string   `json:"imageDigest"`
	Tags              []string `json:"imageTags,omitempty"`
	Size              int64    `json:"imageSizeInBytes"`
	PushedAt          Time     `json:"imagePushedAt"`
	MediaType         string   `json:"imageManifestMediaType,omitempty"`
	ArtifactMediaType string   `json:"artifactMediaType,omitempty"`
	Subject           string   `json:"subjectManifestDigest,omitempty"`
	Status            string   `json:"imageStatus"`
	PulledAt          Time     `json:"lastRecordedPullTime,omitzero"`
}

// repositoryOf returns the repository of a call.
func (e *ECR) repositoryOf(call awslocal.Call, q *request) (*repository, error) {
	if q.RepositoryName == nil {
		return nil, invalidParameter("repositoryName", "must not be null")
	}
	id := RepositoryID{call.Region, call.Registry, call.Resource}
	r, ok := e.repositories[id]
	if !ok {
		return nil, noRepository(id)
	}
	return r, nil
}

func (e *ECR) describeRepositories(call awslocal.Call, q *request) (any, error) {
	at, err := q.pageStart(call, position{})
	if err != nil {
		return nil, err
	}
	var ids []RepositoryID
	for id := range e.repositories {
		if id.registry() == (registryID{call.Region, call.Registry}) && id.Name > at.Text {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b RepositoryID) int { return cmp.Compare(a.Name, b.Name) })
	answer := struct {
		Repositories []repositoryJSON `json:"repositories"`
		NextToken    string           `json:"nextToken,omitempty"`
	}{Repositories: []repositoryJSON{}}
	if size := q.pageSize(); len(ids) > size {
		ids = ids[:size]
		at.Text = ids[size-1].Name
		answer.NextToken = at.token()
	}
	for _, id := range ids {
		info := e.repositories[id].info
		answer.Repositories = append(answer.Repositories, repositoryJSON{
			ARN: id.arn(), RegistryID: id.Registry, Name: id.Name, CreatedAt: Time{info.CreatedAt},
			ScanningConfig: map[string]bool{"scanOnPush": info.ScanOnPush},
		})
	}
	return answer, nil
}

func (e *ECR) describeImages(call awslocal.Call, q *request) (any, error) {
	r, err := e.repositoryOf(call, q)
	if err != nil {
		return nil, err
	}
	var images []*image
	var next string
	if q.ImageIDs != nil {
		images, err = r.namedImages(q)
	} else {
		images, next, err = r.pageOfImages(call, q)
	}
	if err != nil {
		return nil, err
	}
	answer := struct {
		Details   []imageDetail `json:"imageDetails"`
		NextToken string        `json:"nextToken,omitempty"`
	}{make([]imageDetail, len(images)), next}
	for i, img := range images {
		answer.Details[i] = r.detail(img)
	}
	return answer, nil
}

// namedImages returns the images with the requested ids. It fails if one of them does not exist. It returns an image once,
// even if several ids refer to it.
func (r *repository) namedImages(q *request) ([]*image, error) {
	if q.MaxResults != nil || q.NextToken != "" {
		return nil, invalidParameter("imageIds", "cannot be used with maxResults or nextToken")
	}
	if err := q.checkIDs(); err != nil {
		return nil, err
	}
	var images []*image
	for _, id := range q.ImageIDs {
		if err := id.check("imageIds"); err != nil {
			return nil, err
		}
		img, ok := r.find(id)
		if !ok {
			return nil, noImage(r.id, id)
		}
		if !slices.Contains(images, img) {
			images = append(images, img)
		}
	}
	return images, nil
}

func (r *repository) pageOfImages(call awslocal.Call, q *request) (images []*image, next string, err error) {
	at, err := q.pageStart(call, position{Seq: -1})
	if err != nil {
		return nil, "", err
	}
	size := q.pageSize()
	for _, img := range r.order[r.firstAfter(at.Seq):] {
		if !q.Filter.matches(img) {
			continue
		}
		if len(images) == size {
			return images, at.token(), nil
		}
		images = append(images, img)
		at.Seq = img.seq
	}
	return images, "", nil
}

func (r *repository) detail(img *image) imageDetail {
	return imageDetail{
		RegistryID: r.id.Registry, RepositoryName: r.id.Name,
		Digest: img.def.Digest, Tags: img.def.Tags, Size: img.def.Size, PushedAt: Time{img.def.PushedAt},
		MediaType: img.def.MediaType, ArtifactMediaType: img.def.ArtifactMediaType,
		Subject: img.def.Subject, Status: img.def.Status, PulledAt: Time{img.def.PulledAt},
	}
}

type imageJSON struct {
	RegistryID     string  `json:"registryId"`
	RepositoryName string  `json:"repositoryName"`
	ImageID        imageID `json:"imageId"`
	Manifest       string  `json:"imageManifest"`
	MediaType      string  `json:"imageManifestMediaType"`
}

type imageFailure struct {
	ImageID imageID `json:"imageId"`
	Code    string  `json:"failureCode"`
	Reason  string  `json:"failureReason"`
}

func (e *ECR) batchGetImage(call awslocal.Call, q *request) (any, error) {
	r, err := e.repositoryOf(call, q)
	if err != nil {
		return nil, err
	}
	if err := q.checkIDs(); err != nil {
		return nil, err
	}
	answer := struct {
		Images   []imageJSON    `json:"images"`
		Failures []imageFailure `json:"failures"`
	}{[]imageJSON{}, []imageFailure{}}
	for _, id := range q.ImageIDs {
		img, failure := r.get(id, q.AcceptedMediaTypes)
		if failure != nil {
			answer.Failures = append(answer.Failures, *failure)
			continue
		}
		answer.Images = append(answer.Images, imageJSON{
			r.id.Registry, r.id.Name, imageID{img.def.Digest, id.Tag}, img.def.manifest(), img.def.MediaType,
		})
	}
	return answer, nil
}

func (r *repository) get(id imageID, accepted []string) (*image, *imageFailure) {
	fail := func(code, reason string) (*image, *imageFailure) { return nil, &imageFailure{id, code, reason} }
	switch {
	case id.Digest == "" && id.Tag == "":
		return fail("MissingDigestAndTag", "Both image digest and image tag are missing")
	case id.Digest != "" && !formats.digest.MatchString(id.Digest):
		return fail("InvalidImageDigest", "Invalid image digest")
	case len(id.Tag) > 300:
		return fail("InvalidImageTag", "Invalid image tag")
	}
	img, ok := r.find(id)
	switch {
	case !ok && r.byDigest[id.Digest] != nil && r.byTag[id.Tag] != nil:
		return fail("ImageTagDoesNotMatchDigest", "Image tag does not match digest")
	case !ok, len(accepted) > 0 && !slices.Contains(accepted, img.def.MediaType):
		return fail("ImageNotFound", "Requested image not found")
	case img.def.Status != Active:
		return fail("ImageInaccessible", "Requested image is archived")
	}
	return img, nil
}

type scanningConfiguration struct {
	ARN        string              `json:"repositoryArn"`
	Name       string              `json:"repositoryName"`
	ScanOnPush bool                `json:"scanOnPush"`
	Frequency  string              `json:"scanFrequency"`
	Filters    []map[string]string `json:"appliedScanFilters"`
}

// scanningConfigurations handles BatchGetRepositoryScanningConfiguration. A repository that no filter covers is scanned only manually, which enhanced
// scanning refuses.
func (e *ECR) scanningConfigurations(call awslocal.Call, q *request) (any, error) {
	answer := struct {
		Found    []scanningConfiguration `json:"scanningConfigurations"`
		Failures []map[string]string     `json:"failures"`
	}{Found: []scanningConfiguration{}, Failures: []map[string]string{}}
	for _, name := range q.RepositoryNames {
		id := RepositoryID{call.Region, call.Registry, name}
		r, ok := e.repositories[id]
		if !ok {
			answer.Failures = append(answer.Failures, map[string]string{"repositoryName": name, "failureCode": "REPOSITORY_NOT_FOUND"})
			continue
		}
		one := scanningConfiguration{ARN: id.arn(), Name: name, Frequency: "MANUAL", Filters: []map[string]string{}}
		switch kind := e.kind(id); {
		case kind == Enhanced && !r.info.Uncovered:
			one.Frequency, one.Filters = "CONTINUOUS_SCAN", []map[string]string{{"filter": "*", "filterType": "WILDCARD"}}
		case kind == Basic && r.info.ScanOnPush:
			one.Frequency, one.ScanOnPush = "SCAN_ON_PUSH", true
		}
		answer.Found = append(answer.Found, one)
	}
	return answer, nil
}
