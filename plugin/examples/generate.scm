; generate.scm - paints what a prompt says and exports it, in GIMP's batch mode
;
; SPDX-License-Identifier: LGPL-3.0-or-later
;
; gimp-console-3.0 -nidfs --batch-interpreter=plug-in-script-fu-eval --quit \
;   -b '(begin (load "generate.scm") (switti-generate "a grinning cat, flat style" "cat.png"))'
;
; Exit status 0: painted and written. 70: an error, which GIMP has told in one sentence.

; (switti-generate PROMPT PATH [SEED]): without SEED, each run paints another picture. The arguments that are left out
; have their defaults: the default model and its sampling. The result is a list: the image, and a vector of its layers.
(define (switti-generate prompt path . seed)
  (let* ((result (plug-in-switti #:run-mode RUN-NONINTERACTIVE
                                 #:prompt prompt
                                 #:seed (if (null? seed) -1 (car seed))))
         (image (car result)))
    (gimp-file-save RUN-NONINTERACTIVE image path)
    (gimp-image-delete image)))

; Fills an ellipse of an open image: the layer covers the selection's bounds and is masked by it. The layer is
; returned; one undo takes it away again.
(define (switti-fill-ellipse image prompt x y width height)
  (gimp-image-select-ellipse image CHANNEL-OP-REPLACE x y width height)
  (let ((result (plug-in-switti #:run-mode RUN-NONINTERACTIVE
                                #:image image
                                #:prompt prompt
                                #:output "new-layer")))
    (vector-ref (cadr result) 0)))
