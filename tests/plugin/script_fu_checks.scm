; script_fu_checks.scm - what plug-in-switti does, seen from Script-Fu
;
; SPDX-License-Identifier: LGPL-3.0-or-later
;
; test-script-fu.py loads this after the example generate.scm. An error ends GIMP with the status 70.

(define (switti-check passed name)
  (if (not passed) (error "Check failed:" name)))

(define (switti-check-new-image)
  (let* ((result (plug-in-switti #:run-mode RUN-NONINTERACTIVE #:prompt "a red apple, flat style" #:seed 5 #:count 2))
         (image (car result))
         (layers (cadr result))
         (parasite (car (gimp-item-get-parasite (vector-ref layers 0) "plug-in-switti/recipe"))))
    (switti-check (= (car (gimp-image-get-width image)) 256) "width")
    (switti-check (= (car (gimp-image-get-height image)) 256) "height")
    (switti-check (= (vector-length layers) 2) "two layers")
    (switti-check (string=? (car (gimp-item-get-name (vector-ref layers 1))) "a red apple, flat style (seed 6)")
                  "name of the second layer")
    (switti-check (string=? (car parasite) "plug-in-switti/recipe") "recipe")
    (gimp-image-delete image)))

(define (switti-check-selection)
  (let* ((image (car (gimp-image-new 320 200 RGB)))
         (layer (switti-fill-ellipse image "a red apple, flat style" 20 30 200 100))
         (offsets (gimp-drawable-get-offsets layer)))
    (switti-check (= (car (gimp-drawable-get-width layer)) 200) "width of the selection")
    (switti-check (= (car (gimp-drawable-get-height layer)) 100) "height of the selection")
    (switti-check (and (= (car offsets) 20) (= (cadr offsets) 30)) "place of the selection")
    (switti-check (not (= (car (gimp-layer-get-mask layer)) -1)) "mask")
    (gimp-image-delete image)))

; A procedure that fails is an error that a script may catch; GIMP and the script go on.
(define (switti-check-goes-on)
  (switti-check (eq? (catch 'refused (plug-in-switti #:run-mode RUN-NONINTERACTIVE #:prompt "")) 'refused)
                "an error that can be caught")
  (switti-check-new-image))
